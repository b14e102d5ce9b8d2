//! Plans from a process that parsed a stranger's file: what breaks a rule is refused by that rule's
//! name, and nothing that is read makes us panic.

use gpumux_plan::{
    ALIGNMENT, BindError, Bound, Buffer, BufferIndex, Dense, Domain, Element, Gather, Instruction,
    Map, Matrix, Model, Norm, Op, Operand, Plan, PlanError, Port, Product, Program, ReadError,
    Reduce, Reduction, Role, Shape, Size, Softmax, Step, Weight,
};
use proptest::prelude::*;

const TABLE: u32 = 0;
const IDS: u32 = 1;
const ROWS: u32 = 2;
const SCORES: u32 = 3;
const SUMS: u32 = 4;
const OUTPUT: u32 = 5;

/// A row of the table, and rows that it has.
const WIDTH: u32 = 4;
const TABLE_ROWS: u32 = 6;

fn number(value: u32) -> Size {
    Size::number(value)
}

fn of(steps: &[Step]) -> Size {
    Size::from_steps(steps.to_vec())
}

/// Batch times length.
fn tokens() -> Size {
    of(&[Step::Batch, Step::Length, Step::Multiply])
}

fn times(size: Size, factor: u32) -> Size {
    let steps = [size.steps(), &[Step::Number(i64::from(factor)), Step::Multiply]].concat();
    Size::from_steps(steps)
}

fn dense(buffer: u32) -> Dense<Size> {
    Dense { buffer: BufferIndex(buffer), offset: number(0) }
}

fn operand(buffer: u32, strides: &[Size]) -> Operand<Size> {
    Operand { buffer: BufferIndex(buffer), offset: number(0), strides: strides.to_vec() }
}

fn buffer(role: Role, element: Element, elements: Size) -> Buffer {
    Buffer { role, element, elements }
}

fn row_matrix(buffer: u32) -> Matrix<Size> {
    Matrix {
        buffer: BufferIndex(buffer),
        offset: number(0),
        row_stride: number(WIDTH),
        column_stride: number(1),
        batch_stride: number(0),
    }
}

/// Looks rows up, multiplies each with the first rows of the table, normalises, sums, and adds one.
fn model() -> Model {
    let gather = Gather {
        rows: number(TABLE_ROWS),
        width: number(WIDTH),
        table: dense(TABLE),
        count: tokens(),
        indices: dense(IDS),
        per_request: Some(of(&[Step::Length])),
        output: dense(ROWS),
    };
    let product = Product {
        batch: number(1),
        rows: tokens(),
        columns: number(WIDTH),
        depth: number(WIDTH),
        left: row_matrix(ROWS),
        right: row_matrix(TABLE),
        bias: Some(dense(TABLE)),
        output: row_matrix(SCORES),
    };
    let norm = Norm {
        rows: tokens(),
        width: number(WIDTH),
        input: dense(SCORES),
        residual: None,
        weight: dense(TABLE),
        bias: dense(TABLE),
        epsilon: 1e-5,
        output: dense(ROWS),
    };
    let softmax = Softmax {
        extents: vec![tokens(), number(WIDTH)],
        input: dense(ROWS),
        scale: 1.,
        mask: Some(operand(TABLE, &[number(0), number(1)])),
        output: dense(SCORES),
    };
    let reduce = Reduce {
        reduction: Reduction::Sum,
        extents: vec![tokens(), number(WIDTH)],
        input: operand(SCORES, &[number(WIDTH), number(1)]),
        scale: 1.,
        output: dense(SUMS),
    };
    let map = Map {
        extents: vec![tokens()],
        inputs: vec![operand(SUMS, &[number(1)])],
        program: Program { domain: Domain::Real, instructions: vec![Instruction::Load(0)] },
        output: operand(OUTPUT, &[number(1)]),
    };
    let rows = times(tokens(), WIDTH);
    let plan = Plan {
        batch: None,
        inputs: vec![Port {
            name: "ids".to_owned(),
            buffer: BufferIndex(IDS),
            dims: vec![of(&[Step::Batch]), of(&[Step::Length])],
        }],
        outputs: vec![Port {
            name: "sums".to_owned(),
            buffer: BufferIndex(OUTPUT),
            dims: vec![of(&[Step::Batch]), of(&[Step::Length])],
        }],
        buffers: vec![
            buffer(Role::Weight(0), Element::F32, number(TABLE_ROWS * WIDTH)),
            buffer(Role::Input, Element::I64, tokens()),
            buffer(Role::Scratch, Element::F32, rows.clone()),
            buffer(Role::Scratch, Element::F32, rows),
            buffer(Role::Scratch, Element::F32, tokens()),
            buffer(Role::Output, Element::F32, tokens()),
        ],
        ops: vec![
            Op::Gather(gather),
            Op::Product(product),
            Op::Norm(norm),
            Op::Softmax(softmax),
            Op::Reduce(reduce),
            Op::Map(map),
        ],
    };
    let bytes = u64::from(TABLE_ROWS * WIDTH * 4);
    let table = Weight {
        hash: *blake3::hash(&[0; 96]).as_bytes(),
        element: Element::F32,
        elements: bytes / 4,
        offset: 0,
    };
    Model { weight_bytes: bytes, weights: vec![table], plans: vec![plan] }
}

fn bind(model: &Model, batch: u64, length: u64) -> Result<Bound, BindError> {
    model.plans[0].bind(model, Shape { batch, length })
}

/// Changes the plan, and says what checking it gives.
fn check(change: impl FnOnce(&mut Plan)) -> Result<(), PlanError> {
    let mut model = model();
    change(&mut model.plans[0]);
    match model.check() {
        Ok(()) => Ok(()),
        Err(ReadError::Plan { plan: 0, error }) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

/// Changes the plan, and says what binding it gives.
fn bound(change: impl FnOnce(&mut Plan)) -> Result<(), BindError> {
    let mut model = model();
    change(&mut model.plans[0]);
    model.check().expect("only binding can tell");
    bind(&model, 2, 3).map(drop)
}

#[test]
fn a_model_is_read_as_it_was_written() {
    let model = model();
    assert_eq!(Model::read(&model.write()), Ok(model.clone()));
    assert!(model.check_weights(&[0; 96]).is_ok());
    assert_eq!(model.check_weights(&[1; 96]), Err(ReadError::WeightHash(0)));
    assert_eq!(model.check_weights(&[0; 95]), Err(ReadError::Weight(0)));
}

#[test]
fn a_file_that_is_not_whole_is_refused() {
    let file = model().write();
    assert_eq!(Model::read(&file[1..]), Err(ReadError::Magic));
    assert_eq!(Model::read(&file[..20]), Err(ReadError::Damaged));
    assert_eq!(Model::read(&file[..file.len() - 1]), Err(ReadError::Damaged));
    assert_eq!(Model::read(&vec![0; 17 << 20]), Err(ReadError::TooLarge));
}

#[test]
fn a_bound_plan_brings_inputs_and_flags_in_one_piece_and_takes_flags_and_outputs_in_one() {
    let model = model();
    let bound = bind(&model, 2, 3).unwrap();
    assert_eq!(bound.incoming(), 0..ALIGNMENT + 3 * 4);
    assert_eq!(bound.flags(), ALIGNMENT..ALIGNMENT + 3 * 4);
    assert_eq!(bound.outgoing(), ALIGNMENT..3 * ALIGNMENT);
    assert_eq!(bound.inputs()[0].dims(), [3]);
    assert_eq!(bound.inputs()[0].bytes_per_request(), 24);
}

#[test]
fn a_shorter_request_lies_at_the_begin_of_its_part() {
    let model = model();
    let bound = bind(&model, 2, 5).unwrap();
    let run = bound.inputs()[0].run(3).unwrap();
    assert_eq!((run.count, run.bytes, run.pitch), (1, 24, 40));
    assert_eq!(bound.inputs()[0].run(6), None);
}

#[test]
fn names_of_buffers_and_weights_that_are_not_there_are_refused() {
    let gather = |plan: &mut Plan| match &mut plan.ops[0] {
        Op::Gather(it) => it.indices.buffer = BufferIndex(6),
        other => panic!("{other:?}"),
    };
    assert_eq!(check(gather), Err(PlanError::Buffer(6)));
    let weight = |plan: &mut Plan| plan.buffers[0].role = Role::Weight(1);
    assert_eq!(check(weight), Err(PlanError::Weight(0)));
    let larger = |plan: &mut Plan| plan.buffers[0].elements = number(25);
    assert_eq!(check(larger), Err(PlanError::Weight(0)));
}

#[test]
fn types_ranks_and_programs_that_no_kernel_has_are_refused() {
    let whole = |plan: &mut Plan| plan.buffers[2].element = Element::I64;
    assert_eq!(check(whole), Err(PlanError::Type(0)));
    let ranked = |plan: &mut Plan| match &mut plan.ops[5] {
        Op::Map(it) => it.extents = vec![number(1); 7],
        other => panic!("{other:?}"),
    };
    assert_eq!(check(ranked), Err(PlanError::Rank(5)));
    let program = |plan: &mut Plan| match &mut plan.ops[5] {
        Op::Map(it) => it.program.instructions.clear(),
        other => panic!("{other:?}"),
    };
    assert!(matches!(check(program), Err(PlanError::Program(5, _))));
}

#[test]
fn inputs_and_weights_are_never_written() {
    for target in [TABLE, IDS] {
        let change = |plan: &mut Plan| match &mut plan.ops[5] {
            Op::Map(it) => {
                it.output.buffer = BufferIndex(target);
                // Integers leave a program on integers only.
                it.inputs.clear();
                it.program.domain = if target == IDS { Domain::Whole } else { Domain::Real };
                let one = if target == IDS { Instruction::Whole(1) } else { Instruction::Real(1.) };
                it.program.instructions = vec![one];
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(check(change), Err(PlanError::Target(5)));
    }
}

#[test]
fn every_port_has_a_buffer_of_its_own() {
    let twice = |plan: &mut Plan| {
        let mut port = plan.outputs[0].clone();
        port.name = "again".to_owned();
        plan.outputs.push(port);
    };
    assert_eq!(check(twice), Err(PlanError::Port("again".to_owned())));
    let orphan = |plan: &mut Plan| plan.buffers[4].role = Role::Output;
    assert!(matches!(check(orphan), Err(PlanError::Port(_))));
    let scratch = |plan: &mut Plan| plan.outputs[0].buffer = BufferIndex(SUMS);
    assert!(matches!(check(scratch), Err(PlanError::Port(_))));
}

#[test]
fn an_access_beyond_a_buffer_is_refused_at_the_shape_where_it_happens() {
    let mut model = model();
    let Op::Norm(norm) = &mut model.plans[0].ops[2] else { panic!() };
    // As many rows of weights as the length says: the table has 6.
    norm.weight.offset = of(&[Step::Length, Step::Number(4), Step::Multiply]);
    assert!(bind(&model, 1, 5).is_ok());
    assert_eq!(bind(&model, 1, 6).map(drop), Err(BindError::Reach(2)));
}

#[test]
fn nothing_is_read_before_it_was_written() {
    let skip = |plan: &mut Plan| drop(plan.ops.remove(0));
    assert_eq!(bound(skip), Err(BindError::Unwritten(0)));
    let part = |plan: &mut Plan| match &mut plan.ops[5] {
        Op::Map(it) => it.extents = vec![of(&[Step::Length])],
        other => panic!("{other:?}"),
    };
    assert_eq!(bound(part), Err(BindError::Partial(5)));
    let never = |plan: &mut Plan| drop(plan.ops.pop());
    assert_eq!(bound(never), Err(BindError::Output(5)));
}

#[test]
fn an_operation_does_not_read_what_it_writes() {
    let alias = |plan: &mut Plan| match &mut plan.ops[1] {
        Op::Product(it) => it.output.buffer = BufferIndex(ROWS),
        other => panic!("{other:?}"),
    };
    assert_eq!(bound(alias), Err(BindError::Alias(1)));
}

#[test]
fn matrices_that_overlap_themselves_are_refused() {
    let overlap = |plan: &mut Plan| match &mut plan.ops[1] {
        Op::Product(it) => it.left.row_stride = number(3),
        other => panic!("{other:?}"),
    };
    assert_eq!(bound(overlap), Err(BindError::Matrix(1)));
}

#[test]
fn indices_are_divided_evenly_between_the_requests() {
    let uneven = |plan: &mut Plan| match &mut plan.ops[0] {
        Op::Gather(it) => it.per_request = Some(number(2)),
        other => panic!("{other:?}"),
    };
    assert_eq!(bound(uneven), Err(BindError::Requests(0)));
}

#[test]
fn shapes_beyond_memory_or_of_nothing_are_refused() {
    let model = model();
    assert_eq!(bind(&model, 0, 3).map(drop), Err(BindError::Batch));
    assert!(bind(&model, 1, 0).is_err());
    assert!(bind(&model, u64::MAX, 3).is_err());
    assert!(bind(&model, 1 << 31, 1).is_err());
    assert!(bind(&model, 1 << 20, 1 << 20).is_err());
}

/// The plan file of a model whose encoding was changed, with the right hash.
fn forged(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    const HEAD: usize = 16 + blake3::OUT_LEN;
    let file = model().write();
    let mut body = file[HEAD..].to_vec();
    change(&mut body);
    [&file[..16], blake3::hash(&body).as_bytes(), &body].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn no_forged_plan_makes_us_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        batch in 0u64..5,
        length in 0u64..5,
    ) {
        let file = forged(|body| {
            for (index, byte) in changes {
                let place = index.index(body.len());
                body[place] = byte;
            }
        });
        if let Ok(model) = Model::read(&file) {
            for plan in &model.plans {
                if let Ok(bound) = plan.bind(&model, Shape { batch, length }) {
                    for slot in bound.inputs().iter().chain(bound.outputs()) {
                        let _ = slot.run(length);
                    }
                }
            }
        }
    }

    #[test]
    fn no_shape_makes_us_panic(batch: u64, length: u64) {
        let _ = bind(&model(), batch, length);
        let _ = bind(&model(), batch >> 40, length >> 40);
    }
}
