//! Whatever a peer sends or writes, each decoder answers with a value that holds or with its own
//! error, and never with a panic.
//!
//! proptest prints the input that failed and how to keep it; `PROPTEST_RNG_SEED` replays a run. The
//! packets in `corpus/` are what the random ones are made from, and are tried as they are, too.

use gpumux_wire::control::{ToDaemon, ToPeer};
use gpumux_wire::geometry::{ARENA_BYTES_MAX, ChannelSize, Geometry, SLOTS_MAX, TENSOR_ALIGNMENT};
use gpumux_wire::memfd::{self, BadMemory};
use gpumux_wire::packet::{self, MESSAGE_BYTES_MAX, PacketError};
use gpumux_wire::record::{Entry, RequestRecord, ResponseRecord, TENSORS_MAX};
use gpumux_wire::request::RawRequest;
use gpumux_wire::ring::{Consumer, Counter, Footing, Producer};
use gpumux_wire::signature::{Dim, ElementType, Signature, TensorSpec};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
use nix::unistd::ftruncate;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).expect("what this test made")
}

/// The committed packets, by name.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut packets: Vec<_> = fs::read_dir(folder)
        .expect("what this test made")
        .map(|file| {
            let path = file.expect("what this test made").path();
            (
                path.file_name()
                    .expect("what this test made")
                    .to_str()
                    .expect("what this test made")
                    .to_owned(),
                fs::read(&path).expect("what this test made"),
            )
        })
        .collect();
    packets.sort();
    assert!(packets.len() > 10, "the corpus was found");
    packets
}

/// Sends bytes as one packet and receives them as a message of the peer's and of the daemon's.
fn receive(bytes: &[u8]) -> Result<ToDaemon, PacketError> {
    let (here, there) = pair();
    send(here.as_raw_fd(), bytes, MsgFlags::empty()).expect("what this test made");
    // What a daemon may be sent, a shim may be sent by something that poses as a daemon.
    let _judged: Result<ToPeer, _> = serde_json::from_slice(bytes);
    packet::receive::<ToDaemon>(&there, 1).map(|(message, descriptors)| {
        assert!(descriptors.is_empty());
        message
    })
}

/// A message that was understood is understood again, and means the same.
fn judge(bytes: &[u8]) {
    match receive(bytes) {
        Ok(message) => {
            let again = serde_json::to_vec(&message).expect("what this test made");
            assert_eq!(
                serde_json::from_slice::<ToDaemon>(&again).expect("what this test made"),
                message
            );
        }
        Err(PacketError::Malformed(error)) => assert!(!error.is_io(), "{error}"),
        Err(PacketError::Closed) => assert!(bytes.is_empty()),
        Err(PacketError::TooLong) => assert!(bytes.len() > MESSAGE_BYTES_MAX),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn each_packet_of_the_corpus_is_what_its_name_says() {
    for (name, bytes) in corpus() {
        judge(&bytes);
        let is_good = name.starts_with("good-");
        assert_eq!(receive(&bytes).is_ok(), is_good, "{name}: {:?}", receive(&bytes));
    }
}

/// Bytes that are near a packet of the corpus.
fn near_packets() -> impl Strategy<Value = Vec<u8>> {
    let whole: Vec<Vec<u8>> = corpus().into_iter().map(|(_, bytes)| bytes).collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 0..6);
    (prop::sample::select(whole), changes).prop_map(|(mut bytes, changes)| {
        for (at, byte, how) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        bytes.truncate(MESSAGE_BYTES_MAX + 1);
        bytes
    })
}

fn element() -> impl Strategy<Value = ElementType> {
    prop::sample::select(vec![ElementType::U8, ElementType::I64, ElementType::F32])
}

fn tensor() -> impl Strategy<Value = TensorSpec> {
    let dim = prop_oneof![Just(Dim::Length), any::<u32>().prop_map(Dim::Fixed)];
    (element(), prop::collection::vec(dim, 0..8)).prop_map(|(element, dims)| TensorSpec {
        name: "tensor".into(),
        element,
        dims,
    })
}

fn signature() -> impl Strategy<Value = Signature> {
    let tensors = || prop::collection::vec(tensor(), 0..=TENSORS_MAX);
    (tensors(), tensors(), any::<u32>()).prop_map(|(inputs, outputs, length_max)| Signature {
        inputs,
        outputs,
        length_max,
    })
}

/// A record in which every number may be wrong, and most are plausible for the signature.
fn record_for(signature: &Signature) -> impl Strategy<Value = RequestRecord> + use<> {
    let signature = signature.clone();
    let words = prop::collection::vec(any::<u64>(), 64);
    (words, any::<u32>(), 0u64..1 << 20).prop_map(move |(words, chance, near)| {
        let words: [u64; 64] = words.try_into().expect("what this test made");
        let mut record: RequestRecord = bytemuck::cast(words);
        let spared = |bit: u32| chance >> bit & 1 == 0;
        if spared(0) {
            record.input_count =
                u32::try_from(signature.inputs.len()).expect("what this test made");
            record.output_count =
                u32::try_from(signature.outputs.len()).expect("what this test made");
        }
        for (index, (spec, input)) in (1u32..).zip(signature.inputs.iter().zip(&mut record.inputs))
        {
            if spared(index) {
                input.element = spec.element.code();
                input.rank = u32::try_from(spec.dims.len()).expect("what this test made");
                input.offset = near & !(TENSOR_ALIGNMENT - 1);
                for (claimed, dim) in input.dims.iter_mut().zip(&spec.dims) {
                    *claimed = match dim {
                        Dim::Fixed(size) => *size,
                        Dim::Length => chance,
                    };
                }
            }
        }
        record
    })
}

/// A ring whose shared words are forged before every look.
#[derive(Debug)]
struct Forged {
    capacity: u32,
    counters: RefCell<std::vec::IntoIter<u32>>,
    entries: Cell<u64>,
}

impl Footing for Forged {
    fn capacity(&self) -> u32 {
        self.capacity
    }

    fn load_acquire(&self, _: Counter) -> u32 {
        self.counters.borrow_mut().next().unwrap_or(u32::MAX)
    }

    fn store_release(&self, _: Counter, _: u32) {}

    fn load_relaxed(&self, counter: Counter) -> u32 {
        self.load_acquire(counter)
    }

    fn swap(&self, counter: Counter, _: u32) -> u32 {
        self.load_acquire(counter)
    }

    fn load_entry(&self, index: u32) -> u64 {
        assert!(index < self.capacity, "an index beyond the ring");
        self.entries.get()
    }

    fn store_entry(&self, index: u32, _: u64) {
        assert!(index < self.capacity, "an index beyond the ring");
    }

    fn full_fence(&self) {}
}

fn forged(capacity: u32, counters: Vec<u32>, entry: u64) -> Forged {
    Forged { capacity, counters: RefCell::new(counters.into_iter()), entries: Cell::new(entry) }
}

fn seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        judge(&bytes);
    }

    #[test]
    fn bytes_near_a_message_are_one_or_an_error(bytes in near_packets()) {
        judge(&bytes);
    }

    #[test]
    fn any_word_is_an_entry_of_this_channel_or_an_error(
        word in any::<u64>(), kind in 0u64..4, slots in 0u32..=SLOTS_MAX
    ) {
        let small = (word & !(0xffff << 16)) | kind << 16;
        for word in [word, small] {
            if let Ok(entry) = Entry::decode(word, slots) {
                prop_assert!(entry.slot < slots);
                prop_assert_eq!(entry.encode(), word);
            }
        }
    }

    #[test]
    fn any_record_is_a_request_in_the_arena_or_an_error(
        (signature, record) in signature().prop_flat_map(|it| (Just(it.clone()), record_for(&it))),
        arena in 0u64..=ARENA_BYTES_MAX,
    ) {
        if let Ok(request) = RawRequest::new(record).check(&signature, arena) {
            prop_assert_eq!(request.inputs().len(), signature.inputs.len());
            prop_assert_eq!(request.outputs().len(), signature.outputs.len());
            for span in request.inputs().iter().chain(request.outputs()) {
                prop_assert!(span.offset().checked_add(span.bytes()).unwrap() <= arena);
                prop_assert!(span.offset().is_multiple_of(TENSOR_ALIGNMENT));
            }
        }
    }

    #[test]
    fn any_response_is_an_outcome_or_none(words in prop::collection::vec(any::<u64>(), 32)) {
        let words: [u64; 32] = words.try_into().unwrap();
        let record: ResponseRecord = bytemuck::cast(words);
        if let Some(outcome) = record.outcome() {
            prop_assert_eq!(outcome.codes().0, record.outcome);
        }
    }

    #[test]
    fn forged_counters_are_an_overrun_or_stay_in_the_ring(
        exponent in 0u32..13,
        counters in prop::collection::vec(prop_oneof![any::<u32>(), 0u32..64], 1..200),
        entry in any::<u64>(),
    ) {
        let capacity = 1 << exponent;
        let looks = counters.len();
        let mut consumer = Consumer::new(forged(capacity, counters.clone(), entry));
        for _ in 0..looks {
            match consumer.pop() {
                Ok(popped) => prop_assert!(popped.is_none_or(|popped| popped == entry)),
                Err(overrun) => prop_assert!(overrun.claimed > overrun.capacity),
            }
        }
        let mut producer = Producer::new(forged(capacity, counters, entry));
        for _ in 0..looks {
            let _full = producer.push(entry);
            let _duty = producer.take_wake_duty();
        }
    }

    #[test]
    fn any_size_is_a_geometry_without_overlap_or_an_error(
        slots in prop_oneof![any::<u32>(), (0u32..14).prop_map(|exponent| 1 << exponent)],
        arena_bytes in prop_oneof![
            any::<u64>(),
            (0..=ARENA_BYTES_MAX / TENSOR_ALIGNMENT).prop_map(|units| units * TENSOR_ALIGNMENT)
        ],
    ) {
        let possible = slots.is_power_of_two() && slots <= SLOTS_MAX
            && (TENSOR_ALIGNMENT..=ARENA_BYTES_MAX).contains(&arena_bytes)
            && arena_bytes.is_multiple_of(TENSOR_ALIGNMENT);
        let geometry = Geometry::new(ChannelSize { slots, arena_bytes });
        prop_assert_eq!(geometry.is_ok(), possible);
        if let Ok(geometry) = geometry {
            prop_assert!(geometry.total_bytes() > arena_bytes);
            prop_assert!(geometry.total_bytes() - arena_bytes < 8 << 20);
            prop_assert_eq!(geometry.ring_capacity(), slots * 4);
        }
    }

    #[test]
    fn any_memfd_is_vetted_by_its_seals_and_size(
        seal_bits in 0i32..64, bytes in prop_oneof![0i64..1 << 20, Just(i64::MAX)], huge in any::<bool>()
    ) {
        let geometry = Geometry::new(ChannelSize { slots: 2, arena_bytes: 1 << 16 }).unwrap();
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let flags = if huge { flags | MFdFlags::MFD_HUGETLB } else { flags };
        let memory = memfd_create(c"vetted", flags).unwrap();
        // A size or a seal that this kernel does not take leaves the descriptor as it was.
        let _sized = ftruncate(&memory, bytes);
        let _sealed = fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::from_bits_retain(seal_bits)));
        let held = fcntl(&memory, FcntlArg::F_GET_SEALS).unwrap();
        let size = nix::sys::stat::fstat(&memory).unwrap().st_size;
        let vetted = memfd::vet(&memory, &geometry);
        let right = SealFlag::from_bits_retain(held) == seals();
        let enough = u64::try_from(size).unwrap() >= geometry.total_bytes();
        prop_assert_eq!(vetted.is_ok(), right && enough && !huge, "{:?}", vetted);
        if huge {
            prop_assert_eq!(vetted, Err(BadMemory::NotMemfd));
        }
    }
}
