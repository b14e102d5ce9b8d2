//! Bodies: statements, instructions and their operands.

use super::super::SyntaxError;
use super::super::ast::{Guard, Instruction, Operand, Statement};
use super::super::lexer::TokenKind;
use super::Parser;

impl<'t> Parser<'t> {
    /// Statements up to the closing brace, which is consumed.
    pub(super) fn block(&mut self) -> Result<Vec<Statement<'t>>, SyntaxError> {
        self.enter()?;
        let mut statements = Vec::new();
        while !self.accept_mark('}') {
            self.statement(&mut statements)?;
        }
        self.leave();
        Ok(statements)
    }

    fn statement(&mut self, out: &mut Vec<Statement<'t>>) -> Result<(), SyntaxError> {
        match (self.peek(), self.peek_at(1).kind) {
            (TokenKind::Mark(';'), _) => {
                self.next();
            }
            (TokenKind::Mark('{'), _) => {
                self.next();
                let inner = self.block()?;
                out.push(Statement::Scope(inner));
            }
            (TokenKind::Dotted("reg"), _) => {
                self.next();
                self.registers(out)?;
            }
            (TokenKind::Dotted("shared" | "local" | "param" | "global" | "const"), _) => {
                let space = self.space()?;
                let variables = self.variables(space)?;
                out.extend(variables.into_iter().map(Statement::Variable));
            }
            (TokenKind::Dotted("loc" | "file"), _) => self.skip_line(),
            (TokenKind::Dotted("pragma"), _) => self.skip_pragma()?,
            (TokenKind::Dotted(word), _) => {
                return self.error(format!("directive .{word} is not supported in a body"));
            }
            (TokenKind::Word(name), TokenKind::Mark(':')) => {
                let line = self.line();
                self.at += 2;
                if self.accept_dotted("branchtargets") {
                    let labels =
                        self.comma_separated(';', |parser| parser.expect_word("a label"))?;
                    out.push(Statement::BranchTargets { name, labels });
                } else if self.accept_dotted("callprototype") {
                    out.push(self.prototype(name)?);
                } else if self.accept_dotted("calltargets") {
                    return self.error("lists of call targets are not supported");
                } else {
                    out.push(Statement::Label { name, line });
                }
            }
            (TokenKind::Word(_) | TokenKind::Mark('@'), _) => {
                let instruction = self.instruction()?;
                out.push(Statement::Instruction(instruction));
            }
            _ => return self.expected("a statement"),
        }
        Ok(())
    }

    /// What follows `.callprototype`.
    fn prototype(&mut self, name: &'t str) -> Result<Statement<'t>, SyntaxError> {
        let results = self.parameter_sizes()?;
        if self.expect_word("`_`")? != "_" {
            return self.error("a prototype has no name of its own");
        }
        let params = self.parameter_sizes()?;
        self.accept_dotted("noreturn");
        self.expect_mark(';')?;
        Ok(Statement::Prototype { name, results, params })
    }

    /// The sizes of a list of parameters, if there is one.
    fn parameter_sizes(&mut self) -> Result<Vec<u64>, SyntaxError> {
        if !self.accept_mark('(') {
            return Ok(Vec::new());
        }
        let params = self.comma_separated(')', Self::parameter)?;
        Ok(params.iter().map(|param| param.bytes.unwrap_or(0)).collect())
    }

    fn registers(&mut self, out: &mut Vec<Statement<'t>>) -> Result<(), SyntaxError> {
        let ty = self.element_type()?;
        loop {
            let name = self.expect_word("the name of a register")?;
            let count = if self.accept_mark('<') {
                let count = self.expect_u32("a number of registers")?;
                self.expect_mark('>')?;
                Some(count)
            } else {
                None
            };
            out.push(Statement::Registers { ty, name, count });
            if self.accept_mark(';') {
                return Ok(());
            }
            self.expect_mark(',')?;
        }
    }

    fn instruction(&mut self) -> Result<Instruction<'t>, SyntaxError> {
        let line = self.line();
        let guard = if self.accept_mark('@') {
            let negated = self.accept_mark('!');
            Some(Guard { negated, predicate: self.expect_word("a predicate")? })
        } else {
            None
        };
        let opcode = self.expect_word("an instruction")?;
        let mut modifiers = Vec::new();
        while let TokenKind::Dotted(word) = self.peek() {
            modifiers.push(word);
            self.next();
        }
        let operands = self.comma_separated(';', Self::operand)?;
        Ok(Instruction { line, guard, opcode, modifiers, operands })
    }

    fn operand(&mut self) -> Result<Operand<'t>, SyntaxError> {
        let first = self.simple_operand()?;
        if self.accept_mark('|') {
            let second = self.simple_operand()?;
            return Ok(Operand::Pair(Box::new(first), Box::new(second)));
        }
        Ok(first)
    }

    fn simple_operand(&mut self) -> Result<Operand<'t>, SyntaxError> {
        self.enter()?;
        let operand = match self.peek() {
            TokenKind::Mark('{') => {
                self.next();
                Operand::Vector(self.comma_separated('}', Self::simple_operand)?)
            }
            TokenKind::Mark('(') => {
                self.next();
                Operand::List(self.comma_separated(')', Self::simple_operand)?)
            }
            TokenKind::Mark('[') => {
                self.next();
                self.address()?
            }
            TokenKind::Mark('!') => {
                self.next();
                Operand::Not(self.expect_word("a predicate")?)
            }
            TokenKind::Word("_") => {
                self.next();
                Operand::Discard
            }
            TokenKind::Word(name) => {
                self.next();
                match self.peek() {
                    TokenKind::Dotted(component) => {
                        self.next();
                        Operand::Component(name, component)
                    }
                    TokenKind::Mark('+' | '-') => Operand::Offset(name, self.signed_offset()?),
                    _ => Operand::Name(name),
                }
            }
            _ => self.literal()?,
        };
        self.leave();
        Ok(operand)
    }

    fn literal(&mut self) -> Result<Operand<'t>, SyntaxError> {
        let negative = self.accept_mark('-');
        let operand = match self.peek() {
            TokenKind::Integer(value) => {
                Operand::Integer(if negative { value.wrapping_neg() } else { value })
            }
            TokenKind::Float32(bits) => {
                Operand::Float32(if negative { bits ^ 0x8000_0000 } else { bits })
            }
            TokenKind::Float64(bits) => {
                Operand::Float64(if negative { bits ^ (1 << 63) } else { bits })
            }
            _ => return self.expected("an operand"),
        };
        self.next();
        Ok(operand)
    }

    /// What follows `[texture,`: a sampler or coordinates.
    fn sample(&mut self, object: &'t str) -> Result<Operand<'t>, SyntaxError> {
        let coordinates = self.comma_separated(']', Self::simple_operand)?;
        Ok(Operand::Sample(object, coordinates))
    }

    /// What follows `[`.
    fn address(&mut self) -> Result<Operand<'t>, SyntaxError> {
        let (base, offset) = match self.peek() {
            TokenKind::Word(name) => {
                self.next();
                if self.accept_mark(',') {
                    return self.sample(name);
                }
                let offset = if self.is_mark(']') { 0 } else { self.signed_offset()? };
                (Some(name), offset)
            }
            _ => (None, self.signed_offset()?),
        };
        self.expect_mark(']')?;
        Ok(Operand::Address { base, offset })
    }
}
