//! The part of YAML that manifests are written in: mappings, sequences and plain scalars by indentation.
//! What it does not know it refuses, so that a page shows what people read at a glance too.

use serde_json::{Map, Value, json};

/// Reads every document of the text and checks what it says.
pub(crate) fn check(text: &str) -> Result<(), String> {
    for document in text.split("\n---\n") {
        let value = parse(document)?;
        match (value.get("apiVersion"), value.get("services")) {
            (Some(_), _) => manifest(&value)?,
            (None, Some(services)) => compose(&value, services)?,
            (None, None) => (),
        }
    }
    Ok(())
}

/// An object of Kubernetes: it has a kind and a name, and every container mounts volumes that are there.
fn manifest(value: &Value) -> Result<(), String> {
    if !value["kind"].is_string() || !value["metadata"]["name"].is_string() {
        return Err("an object of Kubernetes has a kind and a metadata.name".to_owned());
    }
    let template = &value["spec"]["template"]["spec"];
    let spec = if template.is_null() { &value["spec"] } else { template };
    let volumes: Vec<&Value> =
        spec["volumes"].as_array().into_iter().flatten().map(|volume| &volume["name"]).collect();
    for container in spec["containers"].as_array().into_iter().flatten() {
        if !container["name"].is_string() || !container["image"].is_string() {
            return Err("a container has a name and an image".to_owned());
        }
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            if !volumes.contains(&&mount["name"]) || !mount["mountPath"].is_string() {
                return Err(format!("{} is no volume that is mounted somewhere", mount["name"]));
            }
        }
    }
    Ok(())
}

/// Every service has an image or is built.
fn compose(_value: &Value, services: &Value) -> Result<(), String> {
    for (name, service) in services.as_object().into_iter().flatten() {
        if service["image"].is_null() && service["build"].is_null() {
            return Err(format!("service {name} has neither `image` nor `build`"));
        }
    }
    Ok(())
}

/// A line without its indentation.
struct Line<'a> {
    depth: usize,
    text: &'a str,
}

fn parse(text: &str) -> Result<Value, String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let rest = line.trim_start_matches(' ');
        if rest.is_empty() || rest.starts_with('#') || rest == "---" {
            continue;
        }
        if rest.starts_with('\t') {
            return Err("YAML is not indented by tabs".to_owned());
        }
        lines.push(Line { depth: line.len() - rest.len(), text: rest });
    }
    let mut at = 0;
    let depth = lines.first().ok_or("it is empty")?.depth;
    let value = node(&mut lines, &mut at, depth)?;
    match lines.get(at) {
        None => Ok(value),
        Some(line) => Err(format!("`{}` is indented as nothing before it", line.text)),
    }
}

fn node(lines: &mut [Line<'_>], at: &mut usize, depth: usize) -> Result<Value, String> {
    if lines[*at].text.starts_with("- ") {
        return sequence(lines, at, depth);
    }
    let mut map = Map::new();
    while *at < lines.len() && lines[*at].depth == depth {
        let text = lines[*at].text;
        let (key, rest) = text
            .split_once(':')
            .filter(|(_, rest)| rest.is_empty() || rest.starts_with(' '))
            .ok_or_else(|| format!("`{text}` is no `key: value`"))?;
        *at += 1;
        let rest = rest.split(" #").next().unwrap_or_default().trim();
        let deeper = lines.get(*at).is_some_and(|line| {
            line.depth > depth || line.depth == depth && line.text.starts_with("- ")
        });
        let value = match (rest.is_empty(), deeper) {
            (true, true) => {
                let inner = lines[*at].depth;
                node(lines, at, inner)?
            }
            (true, false) => Value::Null,
            (false, _) => scalar(rest)?,
        };
        if map.insert(key.trim_matches('"').to_owned(), value).is_some() {
            return Err(format!("`{key}` stands twice"));
        }
    }
    Ok(Value::Object(map))
}

fn sequence(lines: &mut [Line<'_>], at: &mut usize, depth: usize) -> Result<Value, String> {
    let mut items = Vec::new();
    while *at < lines.len() && lines[*at].depth == depth && lines[*at].text.starts_with("- ") {
        let rest = lines[*at].text[2..].trim_start();
        let is_mapping =
            !rest.starts_with(['"', '{', '[']) && rest.contains(": ") || rest.ends_with(':');
        if is_mapping {
            // What follows the dash stands as deep as it does.
            lines[*at] = Line { depth: depth + lines[*at].text.len() - rest.len(), text: rest };
            let inner = lines[*at].depth;
            items.push(node(lines, at, inner)?);
        } else {
            items.push(scalar(rest)?);
            *at += 1;
        }
    }
    Ok(Value::Array(items))
}

/// A scalar, or a collection that is written as one.
fn scalar(text: &str) -> Result<Value, String> {
    let ends = text.chars().next().zip(text.chars().last());
    match ends {
        Some(('"', _)) => serde_json::from_str(text).map_err(|error| format!("{text}: {error}")),
        Some(('[' | '{', ']' | '}')) => {
            let (mut open, mut quoted) = (0i32, false);
            for letter in text.chars() {
                match letter {
                    '"' => quoted = !quoted,
                    '[' | '{' if !quoted => open += 1,
                    ']' | '}' if !quoted => open -= 1,
                    _ => (),
                }
            }
            if open == 0 && !quoted {
                Ok(json!(text))
            } else {
                Err(format!("{text} is not closed"))
            }
        }
        Some(('[' | '{' | '&' | '*' | '!' | '|' | '>' | '%' | '@' | '`' | '\'', _)) => {
            Err(format!("`{text}` is more YAML than is read here: write it plainly"))
        }
        _ => Ok(json!(text)),
    }
}

#[test]
fn manifests_are_read_and_mistakes_found() {
    let whole = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n    - name: b\n      \
                 image: \"c:1\" # d\n      volumeMounts:\n        - name: s\n          mountPath: /s\n  volumes:\n    \
                 - name: s\n      hostPath: { path: /s }\n";
    check(whole).unwrap();
    for (from, to, said) in [
        ("    - name: s\n", "    - name: t\n", "no volume"),
        ("  name: a\n", "  nome: a\n", "has a kind"),
        ("kind: Pod", "kind Pod", "no `key: value`"),
        ("kind: Pod", "apiVersion: v1", "stands twice"),
        ("{ path: /s }", "{ path: /s", "more YAML"),
        ("  volumes:", "\tvolumes:", "tabs"),
    ] {
        let broken = whole.replacen(from, to, 1);
        let refused = check(&broken).expect_err(&broken);
        assert!(refused.contains(said), "{broken}: {refused}");
    }
}
