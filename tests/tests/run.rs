//! `gpumux run`: a request from the command line, and an exit code for each way that it can fail.

use gpumux_tests::golden::{Golden, assert_close, fetched};
use gpumux_tests::{Daemon, Options, binary, shared_state};
use npyz::NpyFile;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const NULL: (&str, &str) = ("null", "model = \"builtin:null\"\nlength = { max = 1024 }\n");

const ECHO: (&str, &str) = ("echo", "model = \"builtin:echo\"\nlength = { max = 1024 }\n");
const EMBED: (&str, &str) = ("embed", include_str!("../../examples/models/embed/function.toml"));

/// A file as numpy writes it: `shape` as Python prints a tuple.
fn npy(folder: &TempDir, name: &str, descr: &str, shape: &str, data: &[u8]) -> PathBuf {
    let header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}{:60}\n", "");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend(u16::try_from(header.len()).expect("a short header").to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(data);
    let path = folder.path().join(name);
    std::fs::write(&path, file).expect("a folder of our own");
    path
}

/// Runs `gpumux run` and returns its exit code, and what it wrote.
fn run(socket: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(binary("gpumux"))
        .arg("run")
        .args(arguments)
        .arg("--socket")
        .arg(socket)
        .output()
        .expect("gpumux starts");
    let wrote = [output.stdout, output.stderr].concat();
    (output.status.code().expect("it was not killed"), String::from_utf8(wrote).expect("text"))
}

#[test]
fn a_request_is_done() {
    let daemon = Daemon::start(&[NULL]);
    let folder = tempfile::tempdir().unwrap();
    let input = format!("data={}", npy(&folder, "data.npy", "|u1", "(5,)", b"hello").display());
    let (code, wrote) = run(&daemon.socket(), &["null", "--input", &input, "--budget", "10s"]);
    assert_eq!(code, 0, "{wrote}");
    assert!(wrote.contains("done in a batch of 1"), "{wrote}");
    assert_eq!(daemon.status().functions[0].outcomes.done, 1);
}

#[test]
fn outputs_are_printed_or_written_as_others_read_them() {
    let daemon = Daemon::start(&[ECHO]);
    let folder = tempfile::tempdir().unwrap();
    let input = format!("data={}", npy(&folder, "data.npy", "|u1", "(5,)", b"hello").display());
    let (code, wrote) = run(&daemon.socket(), &["echo", "--input", &input]);
    assert_eq!(code, 0, "{wrote}");
    assert!(wrote.contains("data: u8[5]\n  104 101 108 108 111\n"), "{wrote}");
    let path = folder.path().join("echo.npy");
    let output = format!("data={}", path.display());
    let (code, wrote) = run(&daemon.socket(), &["echo", "--input", &input, "--output", &output]);
    assert_eq!(code, 0, "{wrote}");
    let bytes = std::fs::read(&path).unwrap();
    let file = NpyFile::new(&bytes[..]).unwrap();
    assert_eq!(file.shape(), [5]);
    assert_eq!(file.into_vec::<u8>().unwrap(), b"hello");
    let nowhere = format!("data={}", folder.path().join("no/echo.npy").display());
    let (code, wrote) = run(&daemon.socket(), &["echo", "--input", &input, "--output", &nowhere]);
    assert_eq!(code, 1, "{wrote}");
    assert!(wrote.contains("could not be written"), "{wrote}");
}

#[test]
fn a_real_model_answers_and_a_bad_value_is_a_refusal() {
    let options = Options {
        state: Some(shared_state()),
        beside: vec![("embed".to_owned(), fetched("minilm/model.onnx"))],
        ..Options::default()
    };
    let daemon = Daemon::start_with(&[EMBED], &options);
    let golden = Golden::open("minilm/one_of_16");
    let folder = tempfile::tempdir().unwrap();
    let answer = folder.path().join("answer.npy");
    let ask = |ids: &[i64]| {
        let tensors = [
            ("input_ids", ids.to_vec()),
            ("attention_mask", vec![1; ids.len()]),
            ("token_type_ids", vec![0; ids.len()]),
        ];
        let mut words = vec!["embed".to_owned()];
        for (name, values) in tensors {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let shape = format!("({},)", values.len());
            let file = npy(&folder, &format!("{name}.npy"), "<i8", &shape, &bytes);
            words.extend(["--input".to_owned(), format!("{name}={}", file.display())]);
        }
        let output = format!("sentence_embedding={}", answer.display());
        words.extend(["--output".to_owned(), output]);
        run(&daemon.socket(), &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut ids = golden.rows::<i64>("input_ids").remove(0);
    let (code, wrote) = ask(&ids);
    assert_eq!(code, 0, "{wrote}");
    let found = NpyFile::new(&std::fs::read(&answer).unwrap()[..]).unwrap().into_vec().unwrap();
    let oracle = golden.rows::<f32>("sentence_embedding").remove(0);
    assert_close("one sentence", &found, &oracle);
    ids[3] = 1 << 40;
    let (code, wrote) = ask(&ids);
    assert_eq!(code, 6, "{wrote}");
    assert!(wrote.contains("bad_value (input 0)"), "{wrote}");
}

#[test]
fn a_request_larger_than_the_usual_is_done() {
    let large = ("large", "model = \"builtin:null\"\nlength = { max = 4194304 }\n");
    let daemon = Daemon::start(&[large]);
    let folder = tempfile::tempdir().unwrap();
    let data = vec![7; 4 << 20];
    let input = format!("data={}", npy(&folder, "data.npy", "|u1", "(4194304,)", &data).display());
    let (code, wrote) = run(&daemon.socket(), &["large", "--input", &input]);
    assert_eq!(code, 0, "{wrote}");
}

#[test]
fn each_failure_has_its_code_and_its_advice() {
    let daemon = Daemon::start(&[NULL]);
    let folder = tempfile::tempdir().unwrap();
    let nobody = folder.path().join("nobody.sock");
    let check = |socket: &Path, (descr, shape): (&str, &str), words: &[&str], code, expected| {
        let bytes = [0; 8];
        let path = npy(&folder, "data.npy", descr, shape, &bytes).display().to_string();
        let words: Vec<String> = words.iter().map(|word| word.replace("FILE", &path)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (found, wrote) = run(socket, &words);
        assert_eq!(found, code, "{words:?}: {wrote}");
        assert!(wrote.contains(expected), "{words:?}: {wrote}");
    };
    let socket = daemon.socket();
    let given = ["null", "--input", "data=FILE"];
    check(&nobody, ("|u1", "(8,)"), &given, 3, "start gpumuxd");
    check(&socket, ("|u1", "(8,)"), &["nul", "--input", "data=FILE"], 4, "the nearest is `null`");
    check(&socket, ("|u1", "(8,)"), &["null", "--input", "dada=FILE"], 5, "takes `data`");
    check(&socket, ("|u1", "(8,)"), &["null"], 5, "`data` was not written");
    check(&socket, ("|u1", "(2, 4)"), &given, 5, "does not take the shape [2, 4]");
    check(&socket, ("<i4", "(2,)"), &given, 5, "`data` is of u8, not i32");
    check(&socket, ("|b1", "(8,)"), &given, 5, "`data` is of u8, not bool");
    check(&socket, ("<f8", "(1,)"), &given, 5, "array.astype");
    check(&socket, ("|u1", "(9,)"), &given, 5, "it was cut short");
    check(&socket, ("|u1", "(8,)"), &["null", "--input", "data"], 2, "NAME=FILE.npy");
    let twice = ["null", "--input", "data=FILE", "--input", "data=FILE"];
    check(&socket, ("|u1", "(8,)"), &twice, 5, "given twice");
    let output = ["null", "--input", "data=FILE", "--output", "result=FILE"];
    check(&socket, ("|u1", "(8,)"), &output, 5, "gives nothing");
    let absent = ["null", "--input", "data=/nowhere.npy"];
    check(&socket, ("|u1", "(8,)"), &absent, 5, "/nowhere.npy: No such file");
    assert_eq!(daemon.status().functions[0].arrived, 0, "nothing of it left the process");
}
