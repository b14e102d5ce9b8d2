//! Waits, in the two forms that a kernel has. Where each thread has a stack of its own, a wait is a
//! call of a helper. Where the kernel is cut into regions, a thread that waits stores in its record
//! what it needs later and ends its turn of the loop over threads; the loop enters it again at the
//! same place when the executor says that its wait is over.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, InstBuilder, MemFlagsData, Value, types};
use cranelift_frontend::Variable;

use super::flow::Origins;
use super::function::{Lowering, field};
use super::plan::{Plan, Request};
use super::rebuild::Made;
use crate::jit::exchange::{ENDED, OPERANDS};
use crate::jit::frame::{BlockFrame, DONE, ThreadFrame};
use crate::jit::helpers::Helper;
use crate::jit::wait::{Site, WarpOp, Word};

/// Where a kernel goes on after a wait, and what it needs there.
pub(super) struct Regions {
    pub(super) plan: Plan,
    /// Where each wait goes on; the start comes first.
    resumes: Vec<Block>,
    /// Chooses among them.
    dispatch: Block,
    /// Where the loop over threads ends.
    finish: Block,
    /// How many threads the loop runs.
    end: Value,
    made: Made,
    next_wait: usize,
}

/// Flags of accesses to what threads keep across waits.
fn kept() -> MemFlagsData {
    MemFlagsData::trusted()
}

impl Lowering<'_, '_, '_> {
    /// Reads a register.
    pub(super) fn use_register(&mut self, variable: Variable) -> Value {
        if let Some(mut regions) = self.regions.take() {
            let cheap = regions.plan.cheap(variable);
            let anew =
                cheap.map(|value| self.rebuild(&regions.plan.source, value, &mut regions.made));
            self.regions = Some(regions);
            return anew.unwrap_or_else(|| self.builder.use_var(variable));
        }
        let value = self.builder.use_var(variable);
        if self.is_first_pass() {
            let block = self.builder.current_block().expect("instructions stand in a block");
            let ty = self.builder.func.dfg.value_type(value);
            self.log.used(block, variable, ty);
        }
        value
    }

    /// Writes a register.
    pub(super) fn define_register(&mut self, variable: Variable, value: Value) {
        if self.regions.as_ref().is_some_and(|regions| regions.plan.cheap(variable).is_some()) {
            return;
        }
        self.builder.def_var(variable, value);
        if self.is_first_pass() {
            let block = self.builder.current_block().expect("instructions stand in a block");
            self.log.defined(block, variable, value);
        }
    }

    fn is_first_pass(&self) -> bool {
        self.is_kernel && self.regions.is_none()
    }

    /// Waits, and returns the answer.
    pub(super) fn wait(&mut self, request: Request) -> Value {
        if self.regions.is_some() {
            return self.suspend(request);
        }
        self.note(request);
        match request {
            Request::Turn => self.call(Helper::Poll, &[self.block_frame, self.thread_frame]),
            Request::Active => {
                let site = self.constant(types::I32, u64::from(self.unit.active_sites));
                self.unit.active_sites += 1;
                self.call(Helper::Active, &[self.thread_frame, site])
            }
            Request::Barrier { op, id, expected, predicate } => {
                let op = self.constant(types::I32, op as u64);
                let operands = [self.thread_frame, op, id, expected, predicate];
                self.call(Helper::Barrier, &operands)
            }
            Request::Warp { op, members, value, select, clamp } => {
                let op = self.constant(types::I32, op as u64);
                let operands = [self.thread_frame, op, members, value, select, clamp];
                self.call(Helper::Warp, &operands)
            }
        }
    }

    fn note(&mut self, request: Request) {
        if self.is_kernel {
            let block = self.builder.current_block().expect("instructions stand in a block");
            self.log.waited(block);
            self.requests.push(request);
        }
    }

    /// Looks whether the kernel must end, and gives others a turn where they may need it.
    pub(super) fn take_turn(&mut self) {
        if self.regions.is_none() {
            let status = self.wait(Request::Turn);
            self.leave_unless_done(status);
            return;
        }
        let thread = self.thread_frame();
        let status = self.call(Helper::Poll, &[self.block_frame, thread]);
        self.leave_unless_done(status);
        self.suspend(Request::Turn);
    }

    /// Begins the body of a kernel that is cut into regions. It is entered with threads that all go on
    /// at the same place.
    pub(super) fn begin_regions(&mut self, plan: Plan, first: Value, end: Value) {
        self.builder.def_var(self.linear_index, first);
        let (dispatch, start, finish) =
            (self.builder.create_block(), self.builder.create_block(), self.builder.create_block());
        let some = self.builder.ins().icmp(IntCC::UnsignedLessThan, first, end);
        self.builder.ins().brif(some, dispatch, &[], finish, &[]);
        self.builder.switch_to_block(finish);
        let done = self.builder.ins().iconst(types::I32, i64::from(DONE));
        self.builder.ins().return_(&[done]);
        self.builder.switch_to_block(start);
        self.begin_region(0);
        let mut resumes = vec![start];
        for cut in &plan.cuts {
            let block = if cut.site.is_some() { self.builder.create_block() } else { start };
            resumes.push(block);
        }
        self.regions = Some(Box::new(Regions {
            plan,
            resumes,
            dispatch,
            finish,
            end,
            made: Made::default(),
            next_wait: 0,
        }));
    }

    /// What every region begins with: `number` says which it is.
    fn begin_region(&mut self, number: usize) {
        let number = self.constant(types::I32, number as u64);
        self.builder.def_var(self.origin, number);
        self.restart_turns();
    }

    /// Goes on with the next thread, which began where this one did.
    fn next_thread(&mut self, regions: &Regions, origins: &Origins) {
        let at = self.builder.use_var(self.linear_index);
        let next = self.builder.ins().iadd_imm_s(at, 1);
        self.builder.def_var(self.linear_index, next);
        let more = self.builder.ins().icmp(IntCC::UnsignedLessThan, next, regions.end);
        let known: Vec<usize> = origins.iter().flatten().copied().collect();
        if let [only] = known[..] {
            let resume = regions.resumes[only];
            self.builder.ins().brif(more, resume, &[], regions.finish, &[]);
            return;
        }
        let again = self.builder.create_block();
        self.builder.ins().brif(more, again, &[], regions.finish, &[]);
        self.builder.switch_to_block(again);
        let origin = self.builder.use_var(self.origin);
        // The later ones are more likely to be in a loop.
        for number in known.into_iter().rev() {
            let otherwise = self.builder.create_block();
            let same = self.builder.ins().icmp_imm_u(IntCC::Equal, origin, number as i64);
            self.builder.ins().brif(same, regions.resumes[number], &[], otherwise, &[]);
            self.builder.switch_to_block(otherwise);
        }
        self.builder.ins().jump(regions.dispatch, &[]);
    }

    /// Where the thread's record lies.
    fn record(&mut self, bytes: u32) -> Value {
        let at = self.thread_number();
        let records = self.block_field(types::I64, offset_of!(BlockFrame, records));
        let offset = self.builder.ins().imul_imm_s(at, i64::from(bytes));
        self.builder.ins().iadd(records, offset)
    }

    /// The frame of the thread.
    pub(super) fn thread_frame(&mut self) -> Value {
        if self.regions.is_none() {
            return self.thread_frame;
        }
        let at = self.thread_number();
        let bytes = i64::try_from(size_of::<ThreadFrame>()).expect("frames are small");
        let offset = self.builder.ins().imul_imm_s(at, bytes);
        self.builder.ins().iadd(self.thread_frame, offset)
    }

    fn thread_number(&mut self) -> Value {
        let at = self.builder.use_var(self.linear_index);
        self.builder.ins().uextend(types::I64, at)
    }

    /// `%tid` along one axis, from the table of the block's shape.
    pub(super) fn position(&mut self, axis: usize) -> Value {
        let at = self.thread_number();
        let table = self.block_field(types::I64, offset_of!(BlockFrame, positions));
        let offset = self.builder.ins().ishl_imm_u(at, 3);
        let entry = self.builder.ins().iadd(table, offset);
        let flags = super::function::constant_flags();
        let short = self.builder.ins().load(types::I16, flags, entry, field(2 * axis));
        self.builder.ins().uextend(types::I32, short)
    }

    /// Ends the body: every way to go on is known now.
    pub(super) fn end_regions(&mut self) {
        let Some(regions) = self.regions.take() else { return };
        self.builder.switch_to_block(regions.dispatch);
        let place = self.per_thread(offset_of!(BlockFrame, resume), 4);
        let resume = self.builder.ins().load(types::I32, kept(), place, 0);
        self.branch_to_one(resume, &regions.resumes, regions.resumes[0]);
        // The thread is done: it is never entered again.
        self.builder.switch_to_block(self.done);
        self.leave_mark(ENDED);
        self.next_thread(&regions, &regions.plan.end_origins);
    }

    /// Stores where the thread goes on.
    fn leave_mark(&mut self, resume: u32) {
        let place = self.per_thread(offset_of!(BlockFrame, resume), 4);
        let mark = self.constant(types::I32, u64::from(resume));
        self.builder.ins().store(kept(), mark, place, 0);
    }

    /// Where the thread's entry of a table is, of which the block's frame has the address.
    fn per_thread(&mut self, table: usize, bytes: i64) -> Value {
        let at = self.thread_number();
        let base = self.block_field(types::I64, table);
        let offset = self.builder.ins().imul_imm_s(at, bytes);
        self.builder.ins().iadd(base, offset)
    }

    /// Cuts the kernel here. In between, the thread has nothing but its record.
    fn suspend(&mut self, request: Request) -> Value {
        let mut regions = self.regions.take().expect("the kernel is cut into regions");
        let number = regions.next_wait;
        regions.next_wait += 1;
        let cut = &regions.plan.cuts[number];
        let Some(site) = cut.site else {
            self.regions = Some(regions);
            return self.constant(types::I64, 0);
        };
        let record = self.record(regions.plan.record_bytes);
        for variable in cut.crossing.stores.iter() {
            let value = self.builder.use_var(variable);
            let (slot, _) = regions.plan.slot(variable);
            self.builder.ins().store(kept(), value, record, slot);
        }
        self.bring(request, site);
        self.leave_mark(u32::try_from(number + 1).expect("a text has few waits"));
        self.next_thread(&regions, &cut.origins);
        self.builder.switch_to_block(regions.resumes[number + 1]);
        self.begin_region(number + 1);
        let record = self.record(regions.plan.record_bytes);
        for variable in cut.crossing.loads.iter() {
            let (slot, ty) = regions.plan.slot(variable);
            let value = self.builder.ins().load(ty, kept(), record, slot);
            self.builder.def_var(variable, value);
        }
        let answer = self.answer(request);
        self.regions = Some(regions);
        answer
    }

    /// Stores what a thread brings to a wait.
    fn bring(&mut self, request: Request, site: Site) {
        let (value, operands) = match (request, site) {
            (
                Request::Barrier { id, expected, predicate, .. },
                Site::Barrier { op, id: known, expected: number },
            ) => {
                let value = op.reduces().then(|| self.builder.ins().uextend(types::I64, predicate));
                (value, vec![(known, id), (number, expected)])
            }
            (
                Request::Warp { members, value, select, clamp, .. },
                Site::Warp { members: of, select: lane, clamp: within, .. },
            ) => (Some(value), vec![(of, members), (lane, select), (within, clamp)]),
            _ => (None, Vec::new()),
        };
        if let Some(value) = value {
            let place = self.per_thread(offset_of!(BlockFrame, values), 8);
            self.builder.ins().store(kept(), value, place, 0);
        }
        for (at, (word, operand)) in operands.into_iter().enumerate() {
            if word == Word::Brought {
                let place = self.per_thread(offset_of!(BlockFrame, operands), 4 * OPERANDS as i64);
                self.builder.ins().store(kept(), operand, place, field(4 * at));
            }
        }
    }

    /// What came of a wait.
    fn answer(&mut self, request: Request) -> Value {
        let ty = match request {
            Request::Warp { op: WarpOp::Sync, .. } => return self.constant(types::I64, 0),
            Request::Turn => return self.constant(types::I32, 0),
            Request::Barrier { op, .. } if !op.reduces() => return self.constant(types::I32, 0),
            Request::Warp { .. } => types::I64,
            Request::Active | Request::Barrier { .. } => types::I32,
        };
        let place = self.per_thread(offset_of!(BlockFrame, values), 8);
        self.builder.ins().load(ty, kept(), place, 0)
    }
}
