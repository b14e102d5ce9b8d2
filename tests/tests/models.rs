//! Real models through the whole way: shim, shared memory, worker, emulated device; held to what
//! ONNX Runtime computes.

use gpumux_shim::{ChannelSize, Function, Outcome, Pending, Reason, Reply, SubmitOptions};
use gpumux_tests::golden::{Golden, assert_close, fetched};
use gpumux_tests::{Daemon, Options, shared_state};

const SIZE: ChannelSize = ChannelSize { slots: 32, arena_bytes: 4 << 20 };
const EMBED: &str = "model = \"model.onnx\"\noutputs = [\"sentence_embedding\"]\n\
    length = { axis = \"seq\", max = 128 }\n\
    pad = { fill = { input_ids = 0 }, mask = \"attention_mask\" }\nmax_batch = 8\n";
const CLASSIFY: &str = "model = \"model.onnx\"\nmax_batch = 8\n";
/// The size of MiniLM's vocabulary.
const VOCABULARY: i64 = 30522;

fn serve(name: &str, text: &str, model: &str) -> (Daemon, Function) {
    let options = Options {
        state: Some(shared_state()),
        beside: vec![(name.to_owned(), fetched(model))],
        ..Options::default()
    };
    let daemon = Daemon::start_with(&[(name, text)], &options);
    let function = daemon.connect().open(name, SIZE).expect("it is served");
    (daemon, function)
}

fn embed() -> (Daemon, Function) {
    serve("embed", EMBED, "minilm/model.onnx")
}

fn submit_ids(function: &Function, ids: &[i64]) -> Pending {
    let mut request =
        function.request(u32::try_from(ids.len()).expect("short")).expect("a free slot");
    request.input_mut::<i64>("input_ids").expect("its input").copy_from_slice(ids);
    request.input_mut::<i64>("attention_mask").expect("its input").fill(1);
    request.input_mut::<i64>("token_type_ids").expect("its input").fill(0);
    request.submit(SubmitOptions::default()).expect("an open channel")
}

/// Submits requests so that they share one batch: the first of all takes the lane by itself.
fn as_one_batch(daemon: &Daemon, function: &Function, requests: &[Vec<i64>]) -> Vec<Reply> {
    let mut pending = daemon.at_once(|| {
        let first = submit_ids(function, &[101, 102]);
        let rest = requests.iter().map(|ids| submit_ids(function, ids));
        std::iter::once(first).chain(rest).collect::<Vec<_>>()
    });
    assert_eq!(pending.remove(0).wait().expect("a reply").batch(), 1);
    let replies: Vec<Reply> = pending.into_iter().map(|it| it.wait().expect("a reply")).collect();
    let ran = replies.iter().filter(|reply| reply.outcome() == Outcome::Done);
    for reply in ran {
        assert_eq!(reply.batch() as usize, requests.len(), "they share a batch");
    }
    replies
}

/// The requests of a case, each at its own length.
fn requests(golden: &Golden) -> Vec<Vec<i64>> {
    let masks = golden.rows::<i64>("attention_mask");
    let ids = golden.rows::<i64>("input_ids").into_iter().zip(masks);
    ids.map(|(ids, mask)| {
        let own = mask.iter().filter(|it| **it == 1).count();
        ids[..own].to_vec()
    })
    .collect()
}

#[test]
fn minilm_agrees_with_onnx_runtime_alone_and_in_batches() {
    let (daemon, function) = embed();
    let inputs: Vec<_> = function.inputs().iter().map(ToString::to_string).collect();
    assert!(inputs.contains(&"input_ids: i64[length]".to_owned()), "{inputs:?}");
    for case in ["one_of_1", "one_of_16", "one_of_128", "eight_of_64", "negative_ids"] {
        let golden = Golden::open(&format!("minilm/{case}"));
        let requests = requests(&golden);
        let oracle = golden.rows::<f32>("sentence_embedding");
        let replies = match requests.len() {
            1 => vec![submit_ids(&function, &requests[0]).wait().unwrap()],
            _ => as_one_batch(&daemon, &function, &requests),
        };
        for (row, (reply, oracle)) in replies.iter().zip(&oracle).enumerate() {
            let found = reply.output::<f32>("sentence_embedding").unwrap();
            assert_close(&format!("{case}, request {row}"), found, oracle);
        }
    }
}

#[test]
fn a_batch_of_mixed_lengths_gives_what_each_request_gets_alone() {
    let (daemon, function) = embed();
    let golden = Golden::open("minilm/eight_mixed");
    let oracle = golden.rows::<f32>("sentence_embedding");
    let requests = requests(&golden);
    // A batch holds requests of one bucket, so the case is split as the scheduler will split it.
    let pending: Vec<Pending> =
        daemon.at_once(|| requests.iter().map(|ids| submit_ids(&function, ids)).collect());
    for (row, (pending, ids)) in pending.into_iter().zip(&requests).enumerate() {
        let together = pending.wait().unwrap();
        let alone = submit_ids(&function, ids).wait().unwrap();
        let found = together.output::<f32>("sentence_embedding").unwrap();
        let single = alone.output::<f32>("sentence_embedding").unwrap();
        assert_close(&format!("request {row}, against itself alone"), found, single);
        assert_close(&format!("request {row}, against the oracle"), found, &oracle[row]);
    }
}

#[test]
fn a_bad_token_refuses_its_own_request_and_leaves_seven_right() {
    let (daemon, function) = embed();
    let golden = Golden::open("minilm/eight_of_64");
    let oracle = golden.rows::<f32>("sentence_embedding");
    let requests = requests(&golden);
    for (victim, bad) in [(0, 1 << 40), (3, -(1 << 40)), (7, VOCABULARY), (5, -VOCABULARY - 1)] {
        let mut requests = requests.clone();
        requests[victim][10] = bad;
        let replies = as_one_batch(&daemon, &function, &requests);
        for (row, reply) in replies.iter().enumerate() {
            if row == victim {
                let Outcome::Refused(refusal) = reply.outcome() else {
                    panic!("token {bad}: {:?}", reply.outcome())
                };
                assert_eq!(refusal.reason, Reason::BadValue, "token {bad}");
                continue;
            }
            let found = reply.output::<f32>("sentence_embedding").unwrap();
            assert_close(&format!("beside token {bad}, request {row}"), found, &oracle[row]);
        }
    }
    let status = daemon.status();
    assert_eq!(status.functions[0].refusals[0].count, 4);
    assert_eq!(status.devices[0].worker_restarts, 0);
}

#[test]
fn magika_agrees_with_onnx_runtime() {
    let (daemon, function) = serve("classify", CLASSIFY, "magika/model.onnx");
    for case in ["one", "eight"] {
        let golden = Golden::open(&format!("magika/{case}"));
        let rows = golden.rows::<i32>("bytes");
        let oracle = golden.rows::<f32>("target_label");
        let submit = |row: &Vec<i32>| {
            let mut request = function.request(1).unwrap();
            request.input_mut::<i32>("bytes").unwrap().copy_from_slice(row);
            request.submit(SubmitOptions::default()).unwrap()
        };
        let pending: Vec<Pending> = daemon.at_once(|| rows.iter().map(submit).collect());
        for (row, (pending, oracle)) in pending.into_iter().zip(&oracle).enumerate() {
            let reply = pending.wait().unwrap();
            let found = reply.output::<f32>("target_label").unwrap();
            assert_close(&format!("{case}, request {row}"), found, oracle);
        }
    }
}

#[test]
fn a_file_that_is_no_model_keeps_the_daemon_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, b"not a model").unwrap();
    let options = Options { beside: vec![("embed".to_owned(), path)], ..Options::default() };
    let said = Daemon::refuse(&[("embed", EMBED)], &options);
    assert!(said.contains("function `embed`: its model cannot be served"), "{said}");
}
