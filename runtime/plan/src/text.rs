//! Operations as lines that a person reads: what an import prints.

use std::fmt;

use crate::op::{Dense, Map, Matrix, Op, Operand};
use crate::{Size, Step};

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of expressions that `evaluate` refuses, as much as can be said.
        let mut stack: Vec<String> = Vec::new();
        for step in self.steps() {
            let text = match step {
                Step::Number(number) => number.to_string(),
                Step::Batch => "batch".to_owned(),
                Step::Length => "length".to_owned(),
                Step::Add | Step::Multiply => {
                    let right = stack.pop().unwrap_or_default();
                    let left = stack.pop().unwrap_or_default();
                    match step {
                        Step::Add => format!("({left} + {right})"),
                        _ => format!("{left}*{right}"),
                    }
                }
                Step::Divide(by) => format!("({}/{by})", stack.pop().unwrap_or_default()),
            };
            stack.push(text);
        }
        out.write_str(&stack.join(" "))
    }
}

impl<S: fmt::Display> fmt::Display for Op<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Product(it) => {
                let sizes = [&it.batch, &it.rows, &it.columns, &it.depth];
                let [batch, rows, columns, depth] = sizes;
                write!(out, "product {batch} of {rows} x {depth} x {columns}: ")?;
                write!(out, "{} . {}", name(&it.left), name(&it.right))?;
                optional(out, it.bias.as_ref())?;
                write!(out, " -> {}", name(&it.output))
            }
            Op::Map(it) => map(out, it),
            Op::Reduce(it) => {
                write!(out, "{:?} over the last of {}: ", it.reduction, list(&it.extents))?;
                write!(out, "{} -> {}", view(&it.input), at(&it.output))
            }
            Op::Norm(it) => {
                write!(out, "norm {} x {}: {}", it.rows, it.width, at(&it.input))?;
                optional(out, it.residual.as_ref())?;
                write!(out, " -> {}", at(&it.output))
            }
            Op::Softmax(it) => {
                write!(out, "softmax {}: {}", list(&it.extents), at(&it.input))?;
                if let Some(mask) = &it.mask {
                    write!(out, " + {}", view(mask))?;
                }
                write!(out, " -> {}", at(&it.output))
            }
            Op::Gather(it) => {
                write!(out, "gather {} of {} x {}: ", it.count, it.rows, it.width)?;
                write!(out, "{}[{}] -> {}", at(&it.table), at(&it.indices), at(&it.output))
            }
        }
    }
}

fn map<S: fmt::Display>(out: &mut fmt::Formatter<'_>, it: &Map<S>) -> fmt::Result {
    write!(out, "map {}:", list(&it.extents))?;
    for input in &it.inputs {
        write!(out, " {}", view(input))?;
    }
    write!(out, " {:?} -> {}", it.program.instructions, view(&it.output))
}

fn optional<S: fmt::Display>(out: &mut fmt::Formatter<'_>, it: Option<&Dense<S>>) -> fmt::Result {
    match it {
        Some(it) => write!(out, " + {}", at(it)),
        None => Ok(()),
    }
}

fn list<S: fmt::Display>(sizes: &[S]) -> String {
    let sizes: Vec<String> = sizes.iter().map(S::to_string).collect();
    format!("[{}]", sizes.join(", "))
}

fn at<S: fmt::Display>(it: &Dense<S>) -> String {
    offset(it.buffer.0, &it.offset)
}

fn name<S: fmt::Display>(it: &Matrix<S>) -> String {
    offset(it.buffer.0, &it.offset)
}

fn view<S: fmt::Display>(it: &Operand<S>) -> String {
    format!("{} by {}", offset(it.buffer.0, &it.offset), list(&it.strides))
}

fn offset<S: fmt::Display>(buffer: u32, offset: &S) -> String {
    match offset.to_string().as_str() {
        "0" => format!("b{buffer}"),
        offset => format!("b{buffer}+{offset}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_reads_as_it_is_said() {
        use Step::*;
        let size = Size::from_steps(vec![Batch, Length, Number(3), Add, Divide(8), Multiply]);
        assert_eq!(size.to_string(), "batch*((length + 3)/8)");
        assert_eq!(Size::from_steps(vec![Add]).to_string(), "( + )");
    }
}
