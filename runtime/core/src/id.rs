//! Names of things in the scheduler's tables. Each is a type of its own: a lane is never taken for a
//! batch.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($raw:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $raw);

        impl $name {
            /// Its place in a table.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

ids! {
    /// A request, by a number that the caller chose: free at the moment, and below
    /// `Limits::requests`.
    RequestId(u32);
    /// A function, by its place in the list that the scheduler was made with.
    FunctionId(u16);
    /// A batch.
    BatchId(u32);
    /// A bucket of one function.
    BucketId(u32);
    /// A lane of the device.
    LaneId(u16);
}
