//! Small ONNX files, written field by field, so that any number in them can be wrong.

use rand::RngExt;
use rand::rngs::StdRng;

/// What makes numbers wrong: nothing, or chance.
pub(crate) struct Twist<'a>(Option<&'a mut StdRng>);

/// Numbers that break arithmetic done without care.
const WRONG: [i64; 14] =
    [0, -1, 1, 2, -9, 7, 64, 1 << 16, 1 << 31, 1 << 33, 1 << 62, i64::MAX, i64::MIN, i64::MIN + 1];

impl<'a> Twist<'a> {
    pub(crate) fn new(rng: &'a mut StdRng) -> Self {
        Self(Some(rng))
    }

    pub(crate) fn none() -> Self {
        Self(None)
    }

    fn strikes(&mut self) -> bool {
        self.0.as_mut().is_some_and(|rng| rng.random_ratio(1, 12))
    }

    /// The number, or a wrong one.
    fn number(&mut self, right: i64) -> i64 {
        if !self.strikes() {
            return right;
        }
        let rng = self.0.as_mut().expect("it struck");
        WRONG[rng.random_range(0..WRONG.len())]
    }

    /// The numbers, some of them wrong, in another order, too many or too few.
    fn numbers(&mut self, right: &[i64]) -> Vec<i64> {
        let mut numbers: Vec<i64> = right.iter().map(|number| self.number(*number)).collect();
        if self.strikes() {
            numbers.reverse();
        }
        if self.strikes() {
            numbers.pop();
        }
        if self.strikes() {
            let more = self.number(3);
            numbers.extend([more, 1]);
        }
        numbers
    }

    /// The name, or one that does not belong.
    fn name(&mut self, right: &str) -> String {
        const NAMES: [&str; 5] = ["", "x", "y", "nowhere", "ids"];
        if !self.strikes() {
            return right.to_owned();
        }
        let rng = self.0.as_mut().expect("it struck");
        NAMES[rng.random_range(0..NAMES.len())].to_owned()
    }

    /// How often something is repeated.
    fn count(&mut self, right: usize) -> usize {
        match self.0.as_mut() {
            Some(rng) => rng.random_range(1..400),
            None => right,
        }
    }
}

/// A number in the wire's form.
pub(crate) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f).to_le_bytes()[0];
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn int(field: u64, number: i64) -> Vec<u8> {
    [varint(field << 3), varint(number.cast_unsigned())].concat()
}

fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn text(field: u64, content: &str) -> Vec<u8> {
    bytes(field, content.as_bytes())
}

const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// A constant of the graph, whose data is as long as it should be.
fn constant(twist: &mut Twist, name: &str, dims: &[i64], element: i64, data: &[u8]) -> Vec<u8> {
    let mut tensor = Vec::new();
    for dim in twist.numbers(dims) {
        tensor.extend(int(1, dim));
    }
    tensor.extend(int(2, twist.number(element)));
    tensor.extend(text(8, &twist.name(name)));
    tensor.extend(bytes(9, data));
    bytes(5, &tensor)
}

fn floats(twist: &mut Twist, name: &str, dims: &[i64]) -> Vec<u8> {
    let count: i64 = dims.iter().product();
    let data: Vec<u8> =
        (0..count).flat_map(|index| (0.25 * (index % 7) as f32).to_le_bytes()).collect();
    constant(twist, name, dims, FLOAT, &data)
}

fn whole_numbers(twist: &mut Twist, name: &str, numbers: &[i64]) -> Vec<u8> {
    let numbers = twist.numbers(numbers);
    let data: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let count = i64::try_from(numbers.len()).expect("a few");
    constant(twist, name, &[count], INT64, &data)
}

enum Dim {
    Named(&'static str),
    Of(i64),
}

/// An input (field 11) or output (field 12) of the graph.
fn port(twist: &mut Twist, field: u64, name: &str, element: i64, dims: &[Dim]) -> Vec<u8> {
    let mut shape = Vec::new();
    for dim in dims {
        let dim = match dim {
            Dim::Named(name) => text(2, &twist.name(name)),
            Dim::Of(size) => int(1, twist.number(*size)),
        };
        shape.extend(bytes(1, &dim));
    }
    let tensor = [int(1, twist.number(element)), bytes(2, &shape)].concat();
    bytes(field, &[text(1, &twist.name(name)), bytes(2, &bytes(1, &tensor))].concat())
}

fn node(
    twist: &mut Twist,
    op: &str,
    inputs: &[&str],
    output: &str,
    attributes: &[Vec<u8>],
) -> Vec<u8> {
    let mut node = Vec::new();
    for input in inputs {
        node.extend(text(1, &twist.name(input)));
    }
    node.extend(text(2, &twist.name(output)));
    node.extend(text(3, &format!("{op}_{output}")));
    node.extend(text(4, op));
    for attribute in attributes {
        node.extend(bytes(5, attribute));
    }
    bytes(1, &node)
}

fn attribute(twist: &mut Twist, name: &str, number: i64) -> Vec<u8> {
    [text(1, name), int(3, twist.number(number)), int(20, 2)].concat()
}

fn attributes(twist: &mut Twist, name: &str, numbers: &[i64]) -> Vec<u8> {
    let mut list = text(1, name);
    for number in twist.numbers(numbers) {
        list.extend(int(8, number));
    }
    [list, int(20, 7)].concat()
}

fn model(twist: &mut Twist, parts: &[Vec<u8>]) -> Vec<u8> {
    let graph = [parts.concat(), text(2, "graph")].concat();
    let opset = [text(1, ""), int(2, twist.number(17))].concat();
    [int(1, twist.number(8)), bytes(7, &graph), bytes(8, &opset)].concat()
}

/// A dense layer: a product, a bias, a rectifier.
pub(crate) fn dense(twist: &mut Twist) -> Vec<u8> {
    let parts = [
        node(twist, "MatMul", &["x", "w"], "product", &[]),
        node(twist, "Add", &["product", "b"], "sum", &[]),
        node(twist, "Relu", &["sum"], "y", &[]),
        floats(twist, "w", &[8, 4]),
        floats(twist, "b", &[4]),
        port(twist, 11, "x", FLOAT, &[Dim::Named("batch"), Dim::Of(8)]),
        port(twist, 12, "y", FLOAT, &[Dim::Named("batch"), Dim::Of(4)]),
    ];
    model(twist, &parts)
}

/// A table that is looked up, and a softmax over what is found.
pub(crate) fn lookup(twist: &mut Twist) -> Vec<u8> {
    let (gather, softmax) = (attribute(twist, "axis", 0), attribute(twist, "axis", -1));
    let parts = [
        node(twist, "Gather", &["table", "ids"], "rows", &[gather]),
        node(twist, "Softmax", &["rows"], "y", &[softmax]),
        floats(twist, "table", &[16, 8]),
        port(twist, 11, "ids", INT64, &[Dim::Named("batch"), Dim::Named("seq")]),
        port(twist, 12, "y", FLOAT, &[Dim::Named("batch"), Dim::Named("seq"), Dim::Of(8)]),
    ];
    model(twist, &parts)
}

/// Operators that compute with shapes, axes and bounds.
pub(crate) fn shapes(twist: &mut Twist) -> Vec<u8> {
    let perm = attributes(twist, "perm", &[0, 2, 1]);
    let axis = attribute(twist, "axis", 1);
    let keep = [attributes(twist, "axes", &[2]), attribute(twist, "keepdims", 1)];
    let parts = [
        whole_numbers(twist, "shape", &[0, 0, 8]),
        whole_numbers(twist, "starts", &[0]),
        whole_numbers(twist, "ends", &[4]),
        whole_numbers(twist, "axes", &[1]),
        node(twist, "Reshape", &["x", "shape"], "shaped", &[]),
        node(twist, "Transpose", &["shaped"], "turned", &[perm]),
        node(twist, "Slice", &["turned", "starts", "ends", "axes"], "part", &[]),
        node(twist, "Concat", &["part", "turned"], "joined", &[axis]),
        node(twist, "ReduceMax", &["joined"], "y", &keep),
        port(twist, 11, "x", FLOAT, &[Dim::Named("batch"), Dim::Named("seq"), Dim::Of(8)]),
        port(twist, 12, "y", FLOAT, &[Dim::Named("batch"), Dim::Of(12), Dim::Of(1)]),
    ];
    model(twist, &parts)
}

/// A long chain of small operators.
pub(crate) fn tower(twist: &mut Twist) -> Vec<u8> {
    let height = twist.count(3);
    let mut parts = vec![floats(twist, "b", &[4])];
    let mut below = "x".to_owned();
    for level in 1..=height {
        let above = if level == height { "y".to_owned() } else { format!("level{level}") };
        parts.push(node(twist, "Add", &[&below, "b"], &above, &[]));
        below = above;
    }
    parts.push(port(twist, 11, "x", FLOAT, &[Dim::Named("batch"), Dim::Of(4)]));
    parts.push(port(twist, 12, "y", FLOAT, &[Dim::Named("batch"), Dim::Of(4)]));
    model(twist, &parts)
}
