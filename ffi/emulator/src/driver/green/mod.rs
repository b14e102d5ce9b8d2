//! Green contexts: resources and their descriptors, contexts made of them, and their streams.

mod context;
mod record;
mod resource;
