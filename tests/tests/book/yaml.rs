//! YAML: manifests and Compose files hold what they must, and mount what they have.

use saphyr::{LoadableYamlNode, Yaml};

/// Reads every document of the text and checks what it says.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    for document in &documents {
        match (document.as_mapping_get("apiVersion"), document.as_mapping_get("services")) {
            (Some(_), _) => manifest(document)?,
            (None, Some(services)) => compose(services)?,
            (None, None) => (),
        }
    }
    Ok(())
}

/// What stands at a path of keys.
fn at<'a>(value: &'a Yaml<'a>, path: &[&str]) -> Option<&'a Yaml<'a>> {
    path.iter().try_fold(value, |value, key| value.as_mapping_get(key))
}

fn text_at<'a>(value: &'a Yaml<'a>, path: &[&str]) -> Option<&'a str> {
    at(value, path).and_then(Yaml::as_str)
}

/// The items of a list, none where there is no list.
fn items<'a>(value: &'a Yaml<'a>, key: &str) -> impl Iterator<Item = &'a Yaml<'a>> {
    at(value, &[key]).and_then(Yaml::as_sequence).into_iter().flatten()
}

/// An object of Kubernetes: it has a kind and a name, and every container mounts volumes that are there.
fn manifest(value: &Yaml<'_>) -> Result<(), String> {
    if text_at(value, &["kind"]).is_none() || text_at(value, &["metadata", "name"]).is_none() {
        return Err("an object of Kubernetes has a kind and a metadata.name".to_owned());
    }
    let template = at(value, &["spec", "template", "spec"]);
    let Some(spec) = template.or_else(|| at(value, &["spec"])) else { return Ok(()) };
    let volumes: Vec<_> = items(spec, "volumes").map(|it| text_at(it, &["name"])).collect();
    for container in items(spec, "containers") {
        if text_at(container, &["name"]).is_none() || text_at(container, &["image"]).is_none() {
            return Err("a container has a name and an image".to_owned());
        }
        for mount in items(container, "volumeMounts") {
            let name = text_at(mount, &["name"]);
            if !volumes.contains(&name) || text_at(mount, &["mountPath"]).is_none() {
                return Err(format!("{name:?} is no volume that is mounted somewhere"));
            }
        }
    }
    Ok(())
}

/// Every service has an image or is built.
fn compose(services: &Yaml<'_>) -> Result<(), String> {
    for (name, service) in services.as_mapping().into_iter().flatten() {
        if at(service, &["image"]).or_else(|| at(service, &["build"])).is_none() {
            return Err(format!("service {name:?} has neither `image` nor `build`"));
        }
    }
    Ok(())
}

#[test]
fn what_cannot_work_is_refused() {
    let pod = |mounted: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{ name: p }}\nspec:\n  volumes: [{{ name: v }}]\n  \
             containers:\n    - {{ name: c, image: i, volumeMounts: [{{ name: {mounted}, mountPath: /m }}] }}\n"
        )
    };
    assert_eq!(check(&pod("v")), Ok(()));
    for (text, said) in [
        (pod("w"), "is no volume"),
        ("apiVersion: v1\nkind: Pod\n".to_owned(), "metadata.name"),
        ("services:\n  a: { ports: [1] }\n".to_owned(), "neither `image` nor `build`"),
        ("a: [1\n".to_owned(), "expected"),
    ] {
        let refused = check(&text).expect_err(&text);
        assert!(refused.contains(said), "{text}: {refused}");
    }
}
