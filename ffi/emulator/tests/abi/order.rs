//! Random programs on several streams: every order that the driver promises holds in what happens.
//! Each seed is a program; a failure prints its seed.

use crate::calls::*;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Mutex;

/// What happened, in order. One thread of the driver calls the host functions of a device.
static LOG: Mutex<Vec<usize>> = Mutex::new(Vec::new());

extern "C" fn note(step: *mut c_void) {
    LOG.lock().unwrap().push(step.addr());
}

struct Stream {
    handle: CUstream,
    /// Whether the legacy stream and this one wait for each other.
    blocking: bool,
    /// Steps that every later step of this stream follows.
    before: Vec<usize>,
}

struct Program {
    seed: u64,
    streams: Vec<Stream>,
    /// Events and the steps that a wait for them waits for; none before the first record.
    events: Vec<(CUevent, Option<Vec<usize>>)>,
    /// For each step, those that it must follow.
    edges: Vec<Vec<usize>>,
}

impl Program {
    /// The legacy stream, two streams that are ordered with it and two that are not.
    fn new(seed: u64) -> Self {
        let mut streams = vec![Stream { handle: null_mut(), blocking: false, before: Vec::new() }];
        for flags in [0, 0, 1, 1] {
            let mut handle = null_mut();
            call!(cuStreamCreate(&mut handle, flags));
            streams.push(Stream { handle, blocking: flags == 0, before: Vec::new() });
        }
        let events = (0..4)
            .map(|_| {
                let mut event = null_mut();
                call!(cuEventCreate(&mut event, 2));
                (event, None)
            })
            .collect();
        Self { seed, streams, events, edges: Vec::new() }
    }

    /// A number below `bound`; the step is that of a 64-bit linear congruential generator.
    fn random(&mut self, bound: usize) -> usize {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.seed >> 33).unwrap() % bound
    }

    fn step(&mut self) {
        let at = self.random(self.streams.len());
        let handle = self.streams[at].handle;
        match self.random(4) {
            0 => {
                let event = self.random(self.events.len());
                call!(cuEventRecord(self.events[event].0, handle));
                let before = self.follows(at);
                self.events[event].1 = Some(before.clone());
                self.streams[at].before = before;
            }
            1 => {
                let event = self.random(self.events.len());
                call!(cuStreamWaitEvent(handle, self.events[event].0, 0));
                // A wait for an event that was never recorded is nothing at all.
                if let Some(more) = self.events[event].1.clone() {
                    let mut before = self.follows(at);
                    before.extend(more);
                    self.streams[at].before = before;
                }
            }
            _ => {
                let step = self.edges.len();
                call!(cuLaunchHostFunc(handle, Some(note), step as *mut c_void));
                let follows = self.follows(at);
                self.edges.push(follows);
                // What follows this step follows all that it followed.
                self.streams[at].before = vec![step];
            }
        }
    }

    /// The steps that whatever is enqueued in a stream now must follow.
    fn follows(&self, at: usize) -> Vec<usize> {
        let partners = self.streams.iter().enumerate().filter(|(other, stream)| match at {
            0 => stream.blocking,
            _ => *other == 0 && self.streams[at].blocking,
        });
        let mut before = self.streams[at].before.clone();
        before.extend(partners.flat_map(|(_, stream)| stream.before.iter().copied()));
        before
    }

    fn check(&self) {
        let log = std::mem::take(&mut *LOG.lock().unwrap());
        assert_eq!(log.len(), self.edges.len());
        let mut when = vec![0; log.len()];
        log.iter().enumerate().for_each(|(time, step)| when[*step] = time);
        for (step, follows) in self.edges.iter().enumerate() {
            for earlier in follows {
                assert!(when[*earlier] < when[step], "step {step} ran before {earlier}: {log:?}");
            }
        }
    }
}

crate::child::in_child! {
    orders_hold_in_random_programs("sms=2,memory=1MiB") {
        context();
        for seed in 0..300 {
            println!("seed {seed}");
            let mut program = Program::new(seed);
            for _ in 0..100 {
                program.step();
            }
            call!(cuCtxSynchronize());
            program.check();
            for stream in &program.streams[1..] {
                call!(cuStreamDestroy_v2(stream.handle));
            }
        }
    }
}
