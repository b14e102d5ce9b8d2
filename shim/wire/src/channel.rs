//! One side's view of a mapped channel. The only file of this crate with `unsafe`: every access to
//! shared memory goes through the few functions at its end.
//!
//! The other side may change any byte at any moment, so words are reached by atomics only, tensors
//! by one volatile copy, and nothing here hands out a reference or a slice into the mapping.

use crate::geometry::{Geometry, header};
use crate::outcome::{Outcome, Reason, Refusal};
use crate::record::{Record, RequestRecord, ResponseRecord};
use crate::request::{RawRequest, Span};
use crate::ring::{Consumer, Counter, Footing, Producer};
use bytemuck::Zeroable;
use memmap2::{MmapOptions, MmapRaw};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// A channel's memory, mapped here for as long as this value lives.
#[derive(Debug)]
pub struct Mapping {
    memory: MmapRaw,
    geometry: Geometry,
}

impl Mapping {
    /// Maps the whole channel.
    ///
    /// # Errors
    /// What mmap says. The caller has checked that the memfd is as long as the geometry needs.
    pub fn new(memfd: &impl AsFd, geometry: Geometry) -> std::io::Result<Arc<Self>> {
        let bytes = usize::try_from(geometry.total_bytes()).map_err(std::io::Error::other)?;
        let memory = MmapOptions::new().len(bytes).map_raw(&memfd.as_fd())?;
        Ok(Arc::new(Self { memory, geometry }))
    }

    /// Where things lie in it.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Where it is mapped in this process.
    pub fn addresses(&self) -> std::ops::Range<usize> {
        let start = self.memory.as_ptr().expose_provenance();
        start..start + self.memory.len()
    }

    /// The arena's first byte, for the peer's shim alone: it hands out slices of what it has
    /// reserved. The daemon's side never calls this.
    pub fn arena_start(&self) -> *mut u8 {
        self.at(self.geometry.arena(), self.geometry.arena_bytes())
    }

    fn request_offset(&self, slot: u32) -> u64 {
        assert!(slot < self.geometry.slots(), "slots are checked where they enter");
        self.geometry.requests() + u64::from(slot) * size_of::<RequestRecord>() as u64
    }

    fn response_offset(&self, slot: u32) -> u64 {
        assert!(slot < self.geometry.slots(), "slots are checked where they enter");
        self.geometry.responses() + u64::from(slot) * size_of::<ResponseRecord>() as u64
    }
}

/// Where one ring lies in a mapping.
#[derive(Clone, Debug)]
pub struct MappedRing {
    mapping: Arc<Mapping>,
    head: u64,
    tail: u64,
    asleep: u64,
    entries: u64,
}

impl MappedRing {
    fn submissions(mapping: &Arc<Mapping>) -> Self {
        Self {
            head: header::SUBMISSION_HEAD,
            tail: header::SUBMISSION_TAIL,
            asleep: header::SUBMISSION_ASLEEP,
            entries: mapping.geometry.submission_entries(),
            mapping: Arc::clone(mapping),
        }
    }

    fn completions(mapping: &Arc<Mapping>) -> Self {
        Self {
            head: header::COMPLETION_HEAD,
            tail: header::COMPLETION_TAIL,
            asleep: header::COMPLETION_ASLEEP,
            entries: mapping.geometry.completion_entries(),
            mapping: Arc::clone(mapping),
        }
    }

    fn counter(&self, counter: Counter) -> &AtomicU32 {
        self.mapping.word32(match counter {
            Counter::Head => self.head,
            Counter::Tail => self.tail,
            Counter::Asleep => self.asleep,
        })
    }

    fn entry(&self, index: u32) -> &AtomicU64 {
        assert!(index < self.capacity(), "indices are masked by the capacity");
        self.mapping.word64(self.entries + u64::from(index) * 8)
    }
}

impl Footing for MappedRing {
    fn capacity(&self) -> u32 {
        self.mapping.geometry.ring_capacity()
    }

    fn load_acquire(&self, counter: Counter) -> u32 {
        self.counter(counter).load(Ordering::Acquire)
    }

    fn store_release(&self, counter: Counter, value: u32) {
        self.counter(counter).store(value, Ordering::Release);
    }

    fn load_relaxed(&self, counter: Counter) -> u32 {
        self.counter(counter).load(Ordering::Relaxed)
    }

    fn swap(&self, counter: Counter, value: u32) -> u32 {
        self.counter(counter).swap(value, Ordering::AcqRel)
    }

    fn load_entry(&self, index: u32) -> u64 {
        self.entry(index).load(Ordering::Relaxed)
    }

    fn store_entry(&self, index: u32, value: u64) {
        self.entry(index).store(value, Ordering::Relaxed);
    }

    fn full_fence(&self) {
        fence(Ordering::SeqCst);
    }
}

/// The peer's side of a channel.
#[derive(Debug)]
pub struct PeerSide {
    /// What it asks.
    pub submissions: Producer<MappedRing>,
    /// What it is told.
    pub completions: Consumer<MappedRing>,
    mapping: Arc<Mapping>,
}

impl PeerSide {
    /// The peer's side of new, zeroed memory.
    pub fn new(mapping: &Arc<Mapping>) -> Self {
        Self {
            submissions: Producer::new(MappedRing::submissions(mapping)),
            completions: Consumer::new(MappedRing::completions(mapping)),
            mapping: Arc::clone(mapping),
        }
    }

    /// The peer's side of memory that is presented anew: the rings start over. Nobody else may have a
    /// hand in the memory any more; the slots' records and the arena stay as they are.
    pub fn start_over(mapping: &Arc<Mapping>) -> Self {
        for ring in [MappedRing::submissions(mapping), MappedRing::completions(mapping)] {
            for counter in [Counter::Head, Counter::Tail, Counter::Asleep] {
                ring.store_release(counter, 0);
            }
        }
        Self::new(mapping)
    }

    /// Fills a slot that is free.
    pub fn write_request(&mut self, slot: u32, record: &RequestRecord) {
        self.mapping.write_record(self.mapping.request_offset(slot), record);
    }

    /// Reads the answer in a slot whose completion was popped.
    pub fn read_response(&self, slot: u32) -> ResponseRecord {
        self.mapping.read_record(self.mapping.response_offset(slot))
    }
}

/// The worker's side of a channel.
#[derive(Debug)]
pub struct WorkerSide {
    /// What the peer asks.
    pub submissions: Consumer<MappedRing>,
    /// What it is told.
    pub completions: Producer<MappedRing>,
    mapping: Arc<Mapping>,
}

impl WorkerSide {
    /// The worker's side of memory that no worker has served before.
    pub fn new(mapping: &Arc<Mapping>) -> Self {
        Self::resume(mapping, 0, 0)
    }

    /// The worker's side of memory that another worker served: it had taken `head` submissions and
    /// given `tail` completions. The counts in the memory itself are the peer's to forge.
    pub fn resume(mapping: &Arc<Mapping>, head: u32, tail: u32) -> Self {
        Self {
            submissions: Consumer::resume(MappedRing::submissions(mapping), head),
            completions: Producer::resume(MappedRing::completions(mapping), tail),
            mapping: Arc::clone(mapping),
        }
    }

    /// Where things lie.
    pub fn geometry(&self) -> &Geometry {
        self.mapping.geometry()
    }

    /// Copies a slot's record out; each word is loaded once.
    pub fn read_request(&self, slot: u32) -> RawRequest {
        RawRequest::new(self.mapping.read_record(self.mapping.request_offset(slot)))
    }

    /// Fills a slot's answer. The completion entry that publishes it is pushed after.
    pub fn write_response(&mut self, slot: u32, record: &ResponseRecord) {
        self.mapping.write_record(self.mapping.response_offset(slot), record);
    }

    /// Copies a tensor out of the arena. Its values are whatever the peer holds there now.
    ///
    /// # Panics
    /// When the lengths differ: the caller took both from one request.
    pub fn copy_in(&self, from: Span, to: &mut [u8]) {
        assert_eq!(from.bytes(), to.len() as u64, "one request, one length");
        let source = self.mapping.at(self.mapping.geometry.arena() + from.offset(), from.bytes());
        opaque_copy(source, to.as_mut_ptr(), to.len());
    }

    /// Copies a result into the arena.
    ///
    /// # Panics
    /// When the lengths differ: the caller took both from one request.
    pub fn copy_out(&mut self, from: &[u8], to: Span) {
        assert_eq!(to.bytes(), from.len() as u64, "one request, one length");
        let target = self.mapping.at(self.mapping.geometry.arena() + to.offset(), to.bytes());
        opaque_copy(from.as_ptr(), target, from.len());
    }
}

impl ResponseRecord {
    /// The record that tells of `outcome`; figures and shapes are the caller's to add.
    pub fn of(generation: u32, outcome: Outcome) -> Self {
        let (code, reason) = outcome.codes();
        let refusal = match outcome {
            Outcome::Refused(refusal) => refusal,
            Outcome::Done | Outcome::DeadlineMissed | Outcome::Cancelled => {
                Refusal { reason: Reason::QueueFull, subject: 0, limit: 0, retry_after_us: 0 }
            }
        };
        Self {
            generation,
            outcome: code,
            reason,
            subject: refusal.subject,
            limit: refusal.limit,
            retry_after_us: refusal.retry_after_us,
            ..Self::zeroed()
        }
    }

    /// The outcome that it tells of, or `None` when a newer daemon wrote a code this shim lacks.
    pub fn outcome(&self) -> Option<Outcome> {
        Some(match self.outcome {
            1 => Outcome::Done,
            2 => Outcome::Refused(Refusal {
                reason: Reason::from_code(self.reason)?,
                subject: self.subject,
                limit: self.limit,
                retry_after_us: self.retry_after_us,
            }),
            3 => Outcome::DeadlineMissed,
            4 => Outcome::Cancelled,
            _ => return None,
        })
    }
}

/// The doors to shared memory.
impl Mapping {
    /// The address of `bytes` bytes at `offset`, which are inside the mapping.
    fn at(&self, offset: u64, bytes: u64) -> *mut u8 {
        let end = offset.checked_add(bytes).expect("offsets come from a checked geometry");
        assert!(end <= self.memory.len() as u64, "offsets come from a checked geometry");
        let offset = usize::try_from(offset).expect("it is below the mapping's length");
        self.memory.as_mut_ptr().wrapping_add(offset)
    }

    fn word32(&self, offset: u64) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "words are aligned");
        let pointer = self.at(offset, 4).cast();
        // SAFETY: the four bytes are inside the mapping, which lives as long as `self`, and aligned,
        // because mappings start at a page; both sides reach them by atomics alone.
        unsafe { AtomicU32::from_ptr(pointer) }
    }

    fn word64(&self, offset: u64) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8), "words are aligned");
        let pointer = self.at(offset, 8).cast();
        // SAFETY: the eight bytes are inside the mapping, which lives as long as `self`, and
        // aligned, because mappings start at a page; both sides reach them by atomics alone.
        unsafe { AtomicU64::from_ptr(pointer) }
    }

    fn read_record<R: Record>(&self, offset: u64) -> R {
        let mut words = R::Words::zeroed();
        for (index, word) in (0u64..).zip(words.as_mut()) {
            *word = self.word64(offset + index * 8).load(Ordering::Relaxed);
        }
        bytemuck::cast(words)
    }

    fn write_record<R: Record>(&self, offset: u64, record: &R) {
        let words: R::Words = bytemuck::cast(*record);
        for (index, word) in (0u64..).zip(words.as_ref()) {
            self.word64(offset + index * 8).store(*word, Ordering::Relaxed);
        }
    }
}

/// From here on the processor's own copy is faster than a loop of words.
#[cfg(any(target_arch = "x86_64", test))]
const STRING_BYTES: usize = 512;

/// Copies bytes of which one side may be shared with a stranger. The compiler may neither assume
/// that they hold still nor read them twice, so it is not told what the copy does: every access is
/// volatile, or an instruction's.
fn opaque_copy(from: *const u8, to: *mut u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    if bytes >= STRING_BYTES {
        return copy_string(from, to, bytes);
    }
    copy_words(from, to, bytes);
}

/// Copies by one instruction, which reads each byte once.
#[cfg(target_arch = "x86_64")]
fn copy_string(from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: the callers of `opaque_copy` bound both sides by the slice or the arena span that they
    // copy. The instruction reads and writes these bytes and no others, upwards, as the ABI keeps the
    // direction flag clear; that they may change or overlap means nothing to it.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") bytes => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Copies word by word, each access volatile.
fn copy_words(from: *const u8, to: *mut u8, bytes: usize) {
    let words = bytes / 8;
    for index in 0..words {
        let source = from.cast::<u64>().wrapping_add(index);
        let target = to.cast::<u64>().wrapping_add(index);
        copy_word(source, target);
    }
    for index in words * 8..bytes {
        copy_word(from.wrapping_add(index), to.wrapping_add(index));
    }
}

/// Copies one plain value between addresses of any alignment that the callers have bounded.
fn copy_word<T: bytemuck::Pod>(from: *const T, to: *mut T) {
    #[derive(Clone, Copy)]
    #[repr(C, packed)]
    struct Unaligned<T>(T);
    // SAFETY: both callers bound `from` by the slice or the arena span that they copy, and a packed
    // value may lie at any address.
    let value = unsafe { from.cast::<Unaligned<T>>().read_volatile() };
    // SAFETY: as above, for `to`.
    unsafe { to.cast::<Unaligned<T>>().write_volatile(value) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::ChannelSize;
    use crate::memfd;
    use crate::record::{Entry, InputRecord, SubmissionKind};
    use crate::signature::{Dim, ElementType, Signature, TensorSpec};

    fn channel() -> (PeerSide, WorkerSide, Arc<Mapping>) {
        let geometry = Geometry::new(ChannelSize { slots: 4, arena_bytes: 4096 }).unwrap();
        let memory = memfd::create(&geometry).unwrap();
        let peer = Mapping::new(&memory, geometry).unwrap();
        let worker = Mapping::new(&memory, geometry).unwrap();
        (PeerSide::new(&peer), WorkerSide::new(&worker), peer)
    }

    #[test]
    fn a_request_and_its_bytes_cross_two_mappings() {
        let (mut peer, mut worker, mapping) = channel();
        let data =
            TensorSpec { name: "data".into(), element: ElementType::U8, dims: vec![Dim::Length] };
        let signature =
            Signature { inputs: vec![data.clone()], outputs: vec![data], length_max: 100 };
        let mut record =
            RequestRecord { generation: 7, input_count: 1, output_count: 1, ..Default::default() };
        record.inputs[0] =
            InputRecord { offset: 64, element: 1, rank: 1, dims: [13, 0, 0, 0, 0, 0] };
        record.outputs[0] = crate::record::OutputRecord { offset: 128, capacity: 64 };
        let text = b"thirteen byte";
        for (index, byte) in text.iter().enumerate() {
            copy_word(byte, mapping.arena_start().wrapping_add(64 + index));
        }
        peer.write_request(2, &record);
        let entry = Entry { slot: 2, kind: SubmissionKind::Submit, generation: 7 };
        peer.submissions.push(entry.encode()).unwrap();

        let popped = worker.submissions.pop().unwrap().unwrap();
        let entry = Entry::decode(popped, 4).unwrap();
        let raw = worker.read_request(entry.slot);
        let request = raw.check(&signature, worker.geometry().arena_bytes()).unwrap();
        let mut bytes = [0; 13];
        worker.copy_in(request.inputs()[0], &mut bytes);
        assert_eq!(&bytes, text);
        bytes.reverse();
        worker.copy_out(&bytes, request.outputs()[0]);
        worker.write_response(2, &ResponseRecord::of(7, Outcome::Done));
        worker.completions.push(popped).unwrap();

        assert_eq!(peer.completions.pop().unwrap(), Some(popped));
        assert_eq!(peer.read_response(2).outcome(), Some(Outcome::Done));
        let mut back = [0u8; 13];
        for (index, byte) in back.iter_mut().enumerate() {
            copy_word(mapping.arena_start().wrapping_add(128 + index), byte);
        }
        assert_eq!(back, bytes);
    }

    #[test]
    fn copies_of_every_size_and_place_bring_what_was_there() {
        for bytes in [0, 1, 7, 8, 9, 63, STRING_BYTES - 1, STRING_BYTES, 1000] {
            for (from, to) in [(0, 0), (1, 0), (0, 3), (5, 2)] {
                let source: Vec<u8> = (0u8..=255).cycle().take(from + bytes).collect();
                let mut target = vec![0xEE; to + bytes + 1];
                opaque_copy(source[from..].as_ptr(), target[to..].as_mut_ptr(), bytes);
                assert_eq!(target[to..to + bytes], source[from..]);
                assert!(target[..to].iter().all(|byte| *byte == 0xEE));
                assert_eq!(target[to + bytes], 0xEE);
            }
        }
    }

    #[test]
    fn a_forged_tail_is_an_overrun() {
        let (peer, worker, _) = channel();
        MappedRing::submissions(&peer.mapping).store_release(Counter::Tail, 17);
        assert_eq!(
            worker.submissions.pending(),
            Err(crate::ring::Overrun { claimed: 17, capacity: 16 })
        );
        MappedRing::submissions(&peer.mapping).store_release(Counter::Tail, u32::MAX);
        assert!(worker.submissions.pending().is_err());
    }

    #[test]
    fn rings_that_start_over_serve_a_new_worker() {
        let (mut peer, mut worker, mapping) = channel();
        for round in 0..3 {
            peer.submissions.push(round).unwrap();
            worker.completions.push(round).unwrap();
        }
        worker.submissions.announce_sleep();
        peer.completions.announce_sleep();
        assert_eq!(worker.submissions.pop(), Ok(Some(0)));
        assert_eq!(peer.completions.pop(), Ok(Some(0)));
        let mut peer = PeerSide::start_over(&mapping);
        let mut worker = WorkerSide::new(&mapping);
        assert_eq!(worker.submissions.pop(), Ok(None));
        assert_eq!(peer.completions.pop(), Ok(None));
        peer.submissions.push(7).unwrap();
        assert!(!peer.submissions.take_wake_duty(), "the worker that slept is gone");
        worker.completions.push(8).unwrap();
        assert!(!worker.completions.take_wake_duty());
        assert_eq!(worker.submissions.pop(), Ok(Some(7)));
        assert_eq!(peer.completions.pop(), Ok(Some(8)));
    }

    #[test]
    fn outcomes_survive_the_record() {
        for reason in Reason::ALL {
            let refusal = Refusal { reason, subject: 3, limit: 9, retry_after_us: 1000 };
            let outcome = Outcome::Refused(refusal);
            assert_eq!(ResponseRecord::of(1, outcome).outcome(), Some(outcome));
        }
        for outcome in [Outcome::Done, Outcome::DeadlineMissed, Outcome::Cancelled] {
            assert_eq!(ResponseRecord::of(1, outcome).outcome(), Some(outcome));
        }
        assert_eq!(ResponseRecord { outcome: 77, ..Default::default() }.outcome(), None);
    }
}
