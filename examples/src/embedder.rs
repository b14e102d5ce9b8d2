//! Text to tokens to requests to vectors.

use crate::{Failure, Pipe, Progress};
use gpumux_shim::{ChannelSize, Function, Request, Session};
use std::path::Path;
use tokenizers::{Encoding, Tokenizer, TruncationParams};

/// Requests in flight: enough that every batch can be full.
const DEPTH: usize = 64;
/// Room for them at the longest length that this asks for.
const SIZE: ChannelSize = ChannelSize { slots: 64, arena_bytes: 8 << 20 };

/// A function that turns tokens into a vector, and the tokenizer of its model.
#[derive(Debug)]
pub struct Embedder {
    tokenizer: Tokenizer,
    pipe: Pipe,
}

impl Embedder {
    /// Opens the function; `tokenizer` is the model's `tokenizer.json`.
    ///
    /// # Errors
    /// [`Failure`]: the file is no tokenizer, or the function did not open.
    pub fn open(session: &Session, function: &str, tokenizer: &Path) -> Result<Self, Failure> {
        let function = session.open(function, SIZE)?;
        let longest = usize::try_from(function.signature().length_max).unwrap_or(usize::MAX);
        let mut tokens =
            Tokenizer::from_file(tokenizer).map_err(|error| Failure::file(tokenizer, error))?;
        // The file asks for rows of equal length. A request has its own.
        tokens.with_padding(None);
        let truncation = TruncationParams { max_length: longest, ..TruncationParams::default() };
        tokens
            .with_truncation(Some(truncation))
            .map_err(|error| Failure::file(tokenizer, error))?;
        Ok(Self { tokenizer: tokens, pipe: Pipe::new(function, DEPTH) })
    }

    /// The vector of each text, in their order.
    ///
    /// # Errors
    /// [`Failure`]: a text that has no tokens, or a request without a result.
    pub fn embed(&self, texts: &[&str], shown: bool) -> Result<Vec<Vec<f32>>, Failure> {
        let encode = |text: &&str| {
            self.tokenizer.encode(*text, true).map_err(|error| Failure::Tokens(error.to_string()))
        };
        let encodings = texts.iter().map(encode).collect::<Result<Vec<Encoding>, _>>()?;
        let progress = Progress::start(shown, texts.len())?;
        self.pipe.run(&encodings, request, |number, reply| {
            progress.at(number + 1)?;
            Ok(reply.output::<f32>("sentence_embedding")?.to_vec())
        })
    }
}

fn request(function: &Function, encoding: &Encoding) -> Result<Request, Failure> {
    let length = u32::try_from(encoding.len()).map_err(|_| Failure::Tokens("too many".into()))?;
    let mut request = function.request(length)?;
    let inputs = [
        ("input_ids", encoding.get_ids()),
        ("attention_mask", encoding.get_attention_mask()),
        ("token_type_ids", encoding.get_type_ids()),
    ];
    for (name, values) in inputs {
        let input = request.input_mut::<i64>(name)?;
        if input.len() != values.len() {
            return Err(Failure::Function(format!("`{name}` does not take one value a token")));
        }
        input.iter_mut().zip(values).for_each(|(place, value)| *place = i64::from(*value));
    }
    Ok(request)
}
