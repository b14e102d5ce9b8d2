//! What stands outside of bodies: the three opening directives, variables, kernels and functions.

use super::super::SyntaxError;
use super::super::ast::{Function, Header, Module, Target};
use super::super::lexer::{TokenKind, tokens};
use super::Parser;

/// Parses a whole text.
///
/// # Errors
/// The first thing that is not well formed, or a directive that is not known.
pub(crate) fn parse(text: &str) -> Result<Module<'_>, SyntaxError> {
    Parser::new(tokens(text)?).module()
}

/// Parses the first directives alone, which say who can read the rest.
///
/// # Errors
/// They are missing or not well formed.
pub(crate) fn header(text: &str) -> Result<Header<'_>, SyntaxError> {
    // The directives are short; what follows may be written in a language that is not known.
    let end = text.find(".address_size").unwrap_or(text.len());
    Parser::new(tokens(&text[..end])?).header()
}

/// `.visible`, `.extern`, `.weak`: who may see a name.
#[derive(Clone, Copy, Default)]
struct Linkage {
    visible: bool,
    external: bool,
}

impl<'t> Parser<'t> {
    fn header(&mut self) -> Result<Header<'t>, SyntaxError> {
        let version = self.version()?;
        let target = self.target()?;
        Ok(Header { version, target })
    }

    fn module(&mut self) -> Result<Module<'t>, SyntaxError> {
        self.header()?;
        if self.accept_dotted("address_size") {
            let bits = self.expect_integer("the size of an address")?;
            if bits != 64 {
                return self.error(format!("addresses of {bits} bits are not supported, only 64"));
            }
        } else {
            return self.expected("`.address_size 64`");
        }
        let mut module = Module { variables: Vec::new(), functions: Vec::new() };
        while self.peek() != TokenKind::End {
            self.item(&mut module)?;
        }
        Ok(module)
    }

    fn version(&mut self) -> Result<(u32, u32), SyntaxError> {
        if !self.accept_dotted("version") {
            return self.expected("`.version`");
        }
        let line = self.line();
        // The lexer reads `8.0` as a fraction; minor versions have one digit.
        let TokenKind::Float64(bits) = self.next() else {
            return Err(SyntaxError { line, reason: "expected a version such as 8.0".into() });
        };
        let text = format!("{:.1}", f64::from_bits(bits));
        let parts = text.split_once('.').and_then(|(major, minor)| {
            Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
        });
        parts.ok_or_else(|| SyntaxError { line, reason: format!("{text} is no version") })
    }

    fn target(&mut self) -> Result<Target<'t>, SyntaxError> {
        if !self.accept_dotted("target") {
            return self.expected("`.target`");
        }
        let line = self.line();
        let name = self.expect_word("a target such as sm_75")?;
        let bad = || SyntaxError { line, reason: format!("{name} is no target that is known") };
        let digits = name.strip_prefix("sm_").ok_or_else(bad)?;
        let number = digits.trim_end_matches(['a', 'f']);
        let value: u32 = number.parse().map_err(|_| bad())?;
        if digits.len() - number.len() > 1 || value < 10 {
            return Err(bad());
        }
        while self.accept_mark(',') {
            let word = self.expect_word("a target option")?;
            if word != "debug" {
                return self.error(format!("target option {word} is not supported"));
            }
        }
        let specific = digits.len() != number.len();
        Ok(Target { name, compute: (value / 10, value % 10), specific })
    }

    fn item(&mut self, module: &mut Module<'t>) -> Result<(), SyntaxError> {
        let linkage = self.linkage();
        let line = self.line();
        match self.peek() {
            TokenKind::Dotted("entry") => {
                self.next();
                let function = self.kernel(line)?;
                module.functions.push(function);
            }
            TokenKind::Dotted("func") => {
                self.next();
                let function = self.function(line)?;
                module.functions.push(function);
            }
            TokenKind::Dotted("global" | "const" | "shared") => {
                let space = self.space()?;
                for mut variable in self.variables(space)? {
                    variable.external = linkage.external;
                    variable.visible = linkage.visible;
                    module.variables.push(variable);
                }
            }
            TokenKind::Dotted("file" | "loc") => self.skip_line(),
            TokenKind::Dotted("section") => self.skip_section()?,
            TokenKind::Dotted("pragma") => self.skip_pragma()?,
            TokenKind::Dotted(word) => {
                return self.error(format!("directive .{word} is not supported"));
            }
            _ => return self.expected("a directive"),
        }
        Ok(())
    }

    fn linkage(&mut self) -> Linkage {
        let mut linkage = Linkage::default();
        loop {
            match self.peek() {
                TokenKind::Dotted("visible" | "weak" | "common") => linkage.visible = true,
                TokenKind::Dotted("extern") => linkage.external = true,
                _ => return linkage,
            }
            self.next();
        }
    }

    fn kernel(&mut self, line: u32) -> Result<Function<'t>, SyntaxError> {
        let name = self.expect_word("the name of a kernel")?;
        let mut function = blank(line, name, true);
        if self.accept_mark('(') {
            function.params = self.comma_separated(')', Self::parameter)?;
        }
        self.rest_of_function(&mut function)?;
        if function.body.is_none() {
            return self.error(format!("kernel {name} has no body"));
        }
        Ok(function)
    }

    fn function(&mut self, line: u32) -> Result<Function<'t>, SyntaxError> {
        let results = if self.accept_mark('(') {
            self.comma_separated(')', Self::parameter)?
        } else {
            Vec::new()
        };
        let name = self.expect_word("the name of a function")?;
        let mut function = blank(line, name, false);
        function.results = results;
        if self.accept_mark('(') {
            function.params = self.comma_separated(')', Self::parameter)?;
        }
        self.rest_of_function(&mut function)?;
        Ok(function)
    }

    /// What follows the parameters: directives for tuning, then a body or a semicolon.
    fn rest_of_function(&mut self, function: &mut Function<'t>) -> Result<(), SyntaxError> {
        loop {
            match self.peek() {
                TokenKind::Mark(';') => {
                    self.next();
                    return Ok(());
                }
                TokenKind::Mark('{') => {
                    self.next();
                    function.body = Some(self.block()?);
                    return Ok(());
                }
                TokenKind::Dotted(word @ ("maxntid" | "reqntid")) => {
                    self.next();
                    function.max_threads = Some(self.up_to_three()?);
                    function.exact_threads = word == "reqntid";
                }
                // How many registers or blocks to aim for: nothing here depends on it.
                // No launch here has clusters, so their size has no limit to keep.
                TokenKind::Dotted(
                    "minnctapersm" | "maxnctapersm" | "maxnreg" | "maxclusterrank",
                ) => {
                    self.next();
                    self.expect_u32("a count")?;
                }
                TokenKind::Dotted("noreturn") => {
                    self.next();
                }
                TokenKind::Dotted("pragma") => self.skip_pragma()?,
                TokenKind::Dotted(word) => {
                    return self.error(format!("directive .{word} is not supported"));
                }
                _ => return self.expected("a body"),
            }
        }
    }

    fn up_to_three(&mut self) -> Result<[u32; 3], SyntaxError> {
        let mut counts = [self.expect_u32("a count of threads")?, 1, 1];
        for count in &mut counts[1..] {
            if !self.accept_mark(',') {
                break;
            }
            *count = self.expect_u32("a count of threads")?;
        }
        Ok(counts)
    }

    /// Directives for debuggers end with their line.
    pub(super) fn skip_line(&mut self) {
        let line = self.line();
        while self.line() == line && self.peek() != TokenKind::End {
            self.next();
        }
    }

    fn skip_section(&mut self) -> Result<(), SyntaxError> {
        while !self.is_mark('{') && self.peek() != TokenKind::End {
            self.next();
        }
        self.expect_mark('{')?;
        while !self.accept_mark('}') {
            if self.peek() == TokenKind::End {
                return self.expected("the end of a section");
            }
            self.next();
        }
        Ok(())
    }

    /// Pragmas advise the compiler; the ones that NVRTC writes ask for nothing that must be done.
    pub(super) fn skip_pragma(&mut self) -> Result<(), SyntaxError> {
        self.next();
        loop {
            match self.next() {
                TokenKind::Text("nounroll") => {}
                TokenKind::Text(text) if text.starts_with("used_bytes_mask") => {}
                TokenKind::Text(text) => {
                    self.at -= 1;
                    return self.error(format!("pragma \"{text}\" is not supported"));
                }
                TokenKind::Mark(',') => {}
                TokenKind::Mark(';') => return Ok(()),
                _ => {
                    self.at -= 1;
                    return self.expected("a pragma in quotes");
                }
            }
        }
    }
}

fn blank(line: u32, name: &str, is_kernel: bool) -> Function<'_> {
    Function {
        line,
        is_kernel,
        name,
        results: Vec::new(),
        params: Vec::new(),
        max_threads: None,
        exact_threads: false,
        body: None,
    }
}
