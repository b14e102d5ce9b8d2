//! Whether a command of ours is there, with the options that a page gives it.

use crate::shell;
use gpumux_tests::binary;
use std::process::Command;

/// Checks the grammar of a line, and of each program of ours in it its subcommand and options.
pub(crate) fn check(typed: &str) -> Result<(), String> {
    shell::parse(typed)?;
    let first = typed.lines().next().unwrap_or_default();
    for part in first.split(['|', ';', '&', '(', ')']) {
        let words: Vec<&str> = part.split_whitespace().collect();
        let is_ours = |word: &&str| matches!(*word, "gpumux" | "gpumuxd");
        let named = words.iter().position(is_ours);
        match (words.as_slice(), named) {
            (["cargo", "xtask", chore @ ..], _) => options("xtask", chore)?,
            // As an argument of another program, such as `systemctl`, it names something else.
            (_, Some(at)) if words[..at].iter().all(|word| is_prefix(word)) => {
                options(words[at], &words[at + 1..])?;
            }
            _ => (),
        }
    }
    Ok(())
}

/// What may stand before a program's name.
fn is_prefix(word: &str) -> bool {
    word == "sudo" || word == "-u" || word == "time" || word == "gpumux" || word.contains('=')
}

/// Asks the program for its help, and looks for what was given to it.
fn options(program: &str, arguments: &[&str]) -> Result<(), String> {
    let is_name = |word: &&&str| !word.starts_with('-') && !word.contains(['/', '=', '.', '"']);
    let mut subcommands: Vec<&str> = Vec::new();
    let mut help = help(program, &subcommands)?;
    for word in arguments.iter().take_while(is_name) {
        if !help.lines().any(|line| line.split_whitespace().next() == Some(word)) {
            break;
        }
        subcommands.push(word);
        help = self::help(program, &subcommands)?;
    }
    match arguments.first() {
        Some(first) if program != "gpumuxd" && subcommands.is_empty() && is_name(&first) => {
            return Err(format!("{program} has no command `{first}`"));
        }
        _ => (),
    }
    for word in arguments.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
        let name = word.split('=').next().unwrap_or(word);
        let is_listed = |piece: &str| piece.trim_matches([',', '[', ']', '<', '>']) == name;
        if !help.split(|letter: char| letter.is_whitespace() || letter == '=').any(is_listed) {
            return Err(format!("{program} {} has no option `{name}`", subcommands.join(" ")));
        }
    }
    Ok(())
}

fn help(program: &str, subcommands: &[&str]) -> Result<String, String> {
    let output = Command::new(binary(program)).args(subcommands).arg("--help").output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(text),
        false => Err(format!("{program} {} has no help", subcommands.join(" "))),
    }
}

#[test]
fn what_is_not_there_is_missed() {
    for (typed, said) in [
        ("gpumux sttus", "has no command `sttus`"),
        ("gpumux status --jsn", "has no option `--jsn`"),
        ("sudo gpumux functions clear embed --jsn", "has no option `--jsn`"),
        ("gpumuxd --modles x &", "has no option `--modles`"),
        ("cargo xtask tset", "has no command `tset`"),
        ("gpumux status (", "syntax error"),
    ] {
        let refused = check(typed).unwrap_err();
        assert!(refused.contains(said), "{typed}: {refused}");
    }
    for typed in ["gpumux status --watch 1s | head", "sudo systemctl restart gpumuxd", "ls --all"] {
        check(typed).unwrap();
    }
}
