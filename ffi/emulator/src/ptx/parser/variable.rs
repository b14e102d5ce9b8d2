//! Declarations of variables and parameters, with their initial values.

use super::super::SyntaxError;
use super::super::ast::{Initial, Space, Type, Variable};
use super::super::lexer::TokenKind;
use super::Parser;

/// No variable of PTX is larger; the limit keeps sizes from wrapping.
const VARIABLE_BYTES_MAX: u64 = 1 << 32;

impl<'t> Parser<'t> {
    /// `.global`, `.shared`, …
    pub(super) fn space(&mut self) -> Result<Space, SyntaxError> {
        let space = match self.peek() {
            TokenKind::Dotted("global") => Space::Global,
            TokenKind::Dotted("const") => Space::Const,
            TokenKind::Dotted("shared") => Space::Shared,
            TokenKind::Dotted("local") => Space::Local,
            TokenKind::Dotted("param") => Space::Param,
            _ => return self.expected("a memory such as .global"),
        };
        self.next();
        Ok(space)
    }

    /// A parameter of a kernel, or a parameter or result of a function.
    pub(super) fn parameter(&mut self) -> Result<Variable<'t>, SyntaxError> {
        if self.accept_dotted("reg") {
            return self.error("parameters in registers are not supported, only .param");
        }
        if !self.accept_dotted("param") {
            return self.expected("`.param`");
        }
        let align = self.alignment()?;
        let element = self.element_type()?;
        // `.ptr .global .align 4` tells the compiler more about a pointer; it changes no meaning.
        if self.accept_dotted("ptr") {
            if matches!(self.peek(), TokenKind::Dotted("global" | "const" | "shared" | "local")) {
                self.next();
            }
            self.alignment()?;
        }
        let variable = self.declared(Space::Param, align, element)?;
        if variable.bytes.is_none() {
            return self.error(format!("parameter {} has no size", variable.name));
        }
        Ok(variable)
    }

    /// What follows the memory: alignment, type, names with sizes and values, a semicolon.
    pub(super) fn variables(&mut self, space: Space) -> Result<Vec<Variable<'t>>, SyntaxError> {
        let managed = self.accept_dotted("attribute");
        if managed {
            self.managed()?;
        }
        let align = self.alignment()?;
        let element = self.element_type()?;
        let mut variables = Vec::new();
        loop {
            let mut variable = self.declared(space, align, element)?;
            variable.managed = managed;
            if self.accept_mark('=') {
                self.initial_values(&mut variable)?;
            }
            variables.push(variable);
            if self.accept_mark(';') {
                return Ok(variables);
            }
            self.expect_mark(',')?;
        }
    }

    /// `(.managed)`: the one attribute of a variable that is supported.
    fn managed(&mut self) -> Result<(), SyntaxError> {
        self.expect_mark('(')?;
        match self.peek() {
            TokenKind::Dotted("managed") => self.next(),
            TokenKind::Dotted(word) => {
                return self.error(format!("attribute .{word} is not supported"));
            }
            _ => return self.expected("an attribute"),
        };
        self.expect_mark(')')
    }

    fn alignment(&mut self) -> Result<Option<u32>, SyntaxError> {
        if !self.accept_dotted("align") {
            return Ok(None);
        }
        let align = self.expect_u32("an alignment")?;
        if !align.is_power_of_two() || align > 256 {
            return self.error(format!("{align} is no alignment up to 256"));
        }
        Ok(Some(align))
    }

    pub(super) fn element_type(&mut self) -> Result<Type, SyntaxError> {
        if matches!(self.peek(), TokenKind::Dotted("v2" | "v4")) {
            return self.error("variables of vector type are not supported");
        }
        let word = self.expect_dotted("a type")?;
        match Type::parse(word) {
            Some(ty) => Ok(ty),
            None => self.error(format!("type .{word} is not supported")),
        }
    }

    /// `name`, `name[4]`, `name[2][3]` or `name[]`.
    fn declared(
        &mut self,
        space: Space,
        align: Option<u32>,
        element: Type,
    ) -> Result<Variable<'t>, SyntaxError> {
        let line = self.line();
        let name = self.expect_word("the name of a variable")?;
        let align = align.unwrap_or(element.bytes()).max(element.bytes());
        let mut bytes = Some(u64::from(element.bytes()));
        while self.accept_mark('[') {
            if self.accept_mark(']') {
                bytes = None;
                continue;
            }
            let count = self.expect_integer("a number of elements")?;
            self.expect_mark(']')?;
            bytes = match bytes.map(|bytes| bytes.checked_mul(count)) {
                Some(Some(product)) if product <= VARIABLE_BYTES_MAX => Some(product),
                Some(_) => return self.error(format!("variable {name} is too large")),
                None => None,
            };
        }
        Ok(Variable {
            line,
            space,
            name,
            align,
            element,
            bytes,
            initial: Vec::new(),
            external: false,
            visible: false,
            managed: false,
        })
    }

    fn initial_values(&mut self, variable: &mut Variable<'t>) -> Result<(), SyntaxError> {
        if !matches!(variable.space, Space::Global | Space::Const) {
            return self.error(format!("variable {} cannot have a value here", variable.name));
        }
        let element = variable.element;
        if element == Type::B128 {
            return self.error("values of type .b128 are not supported");
        }
        variable.initial = if self.accept_mark('{') {
            self.comma_separated('}', |parser| parser.initial_value(element))?
        } else {
            vec![self.initial_value(element)?]
        };
        let given = variable.initial.len() as u64 * u64::from(element.bytes());
        match variable.bytes {
            None => variable.bytes = Some(given),
            Some(bytes) if given <= bytes => {}
            Some(_) => return self.error(format!("too many values for {}", variable.name)),
        }
        Ok(())
    }

    fn initial_value(&mut self, element: Type) -> Result<Initial<'t>, SyntaxError> {
        match self.peek() {
            TokenKind::Word(word) => {
                if element.bytes() != 8 {
                    return self.error("an address needs an element of 64 bits");
                }
                self.next();
                let generic = word == "generic" && self.accept_mark('(');
                let symbol = if generic { self.expect_word("a variable")? } else { word };
                if generic {
                    self.expect_mark(')')?;
                }
                let offset =
                    if self.is_mark('+') || self.is_mark('-') { self.signed_offset()? } else { 0 };
                Ok(Initial::Address { symbol, offset })
            }
            _ => Ok(Initial::Bits(self.constant(element)?)),
        }
    }

    /// A number as the bits of `ty`.
    fn constant(&mut self, ty: Type) -> Result<u64, SyntaxError> {
        let negative = self.accept_mark('-');
        let bits = match (self.peek(), ty) {
            (TokenKind::Integer(value), Type::F32 | Type::F64 | Type::F16 | Type::Bf16) => {
                return self.error(format!("{value} is no value for a float; write 0f… or 0d…"));
            }
            (TokenKind::Integer(value), _) => {
                if negative {
                    value.wrapping_neg()
                } else {
                    value
                }
            }
            (TokenKind::Float32(bits), Type::F32) => {
                u64::from(if negative { bits ^ 0x8000_0000 } else { bits })
            }
            (TokenKind::Float64(bits), Type::F64) => {
                if negative {
                    bits ^ (1 << 63)
                } else {
                    bits
                }
            }
            _ => return self.expected("a value of the variable's type"),
        };
        self.next();
        Ok(if ty.bytes() == 8 { bits } else { bits & ((1 << ty.bits()) - 1) })
    }

    /// `+4`, `-4`, `+-4`.
    pub(super) fn signed_offset(&mut self) -> Result<i64, SyntaxError> {
        let mut negative = false;
        let mut signs = 0;
        while signs < 2 && (self.is_mark('+') || self.is_mark('-')) {
            negative ^= self.next() == TokenKind::Mark('-');
            signs += 1;
        }
        let value = self.expect_integer("an offset")?;
        match i64::try_from(value) {
            Ok(value) => Ok(if negative { -value } else { value }),
            Err(_) => self.error(format!("offset {value} is too large")),
        }
    }
}
