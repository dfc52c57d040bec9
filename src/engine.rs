//! What engines write about their containers, read for the name that their users know.
//! Pure: bytes of files in, names out. Nobody promises these formats, and a file may be
//! in the making: what cannot be read gives no name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A longer one is none: of a pod's container, Kubernetes allows 381.
pub const NAME_MAX_BYTES: usize = 512;

/// What engines accept as an id: a file's name, and no way to another directory.
pub fn is_id(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+');
    (1..=255).contains(&id.len()) && id.bytes().all(plain) && !id.starts_with('.')
}

fn is_name(name: &str) -> bool {
    (1..=NAME_MAX_BYTES).contains(&name.len())
}

/// What the configuration of an OCI bundle, `config.json`, tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bundle {
    /// The name, where the engine put it there.
    pub name: Option<String>,
    /// dockerd's directory for the container, which has the name.
    pub docker: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    annotations: HashMap<String, String>,
    #[serde(default)]
    mounts: Vec<Mount>,
}

#[derive(Deserialize)]
struct Mount {
    source: Option<PathBuf>,
}

/// Annotations of a container in a pod: the pod's namespace, the pod, the container.
const IN_POD: [[&str; 3]; 2] = [
    // containerd
    [
        "io.kubernetes.cri.sandbox-namespace",
        "io.kubernetes.cri.sandbox-name",
        "io.kubernetes.cri.container-name",
    ],
    // CRI-O
    [
        "io.kubernetes.pod.namespace",
        "io.kubernetes.pod.name",
        "io.kubernetes.container.name",
    ],
];

/// Annotations that hold a name as it is.
const PLAIN: [&str; 2] = ["nerdctl/name", "io.kubernetes.cri-o.ContainerName"];

/// Reads the `config.json` of the container `id`.
pub fn of_bundle(config: &[u8], id: &str) -> Bundle {
    let Ok(config) = serde_json::from_slice::<Config>(config) else {
        return Bundle::default();
    };
    let annotation = |key: &str| {
        let value = config.annotations.get(key);
        value.map(String::as_str).filter(|value| !value.is_empty())
    };
    let in_pod = IN_POD.iter().find_map(|keys| {
        let [namespace, pod, container] = keys.map(annotation);
        // A pod's own container, the sandbox, has the pod's name.
        let parts = [namespace?, pod?].into_iter().chain(container);
        Some(parts.collect::<Vec<_>>().join("/"))
    });
    let plain = || PLAIN.into_iter().find_map(annotation).map(str::to_owned);
    // Files of its own that dockerd has in every container; they lie beside the name.
    let own = |path: &Path| path.ends_with(Path::new("containers").join(id).join("hostname"));
    let sources = || config.mounts.iter().filter_map(|m| m.source.as_deref());
    Bundle {
        name: in_pod.or_else(plain).filter(|name| is_name(name)),
        docker: sources()
            .find(|path| own(path))
            .and_then(Path::parent)
            .map(Path::to_owned),
    }
}

/// Reads dockerd's `config.v2.json`.
pub fn of_docker(config: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Docker {
        #[serde(rename = "Name")]
        name: String,
    }
    let docker: Docker = serde_json::from_slice(config).ok()?;
    let name = docker.name.strip_prefix('/').unwrap_or(&docker.name);
    is_name(name).then(|| name.to_owned())
}

/// Reads the list of a store of podman's or CRI-O's, `containers.json`: names by id.
pub fn of_store(list: &[u8]) -> HashMap<String, String> {
    #[derive(Deserialize)]
    struct Stored {
        id: String,
        #[serde(default)]
        names: Vec<String>,
    }
    let list: Vec<Stored> = serde_json::from_slice(list).unwrap_or_default();
    let named = |stored: Stored| Some((stored.id, stored.names.into_iter().find(|n| is_name(n))?));
    let stored = list.into_iter().filter(|stored| is_id(&stored.id));
    stored.filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_in(annotations: &str) -> Option<String> {
        let config = format!(r#"{{"ociVersion":"1.2.0","annotations":{annotations}}}"#);
        of_bundle(config.as_bytes(), "0f").name
    }

    #[test]
    fn annotations_name_containers() {
        let cri = r#"{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.sandbox-namespace":"shop",
            "io.kubernetes.cri.sandbox-name":"web-7f","io.kubernetes.cri.container-name":"nginx"}"#;
        assert_eq!(name_in(cri).as_deref(), Some("shop/web-7f/nginx"));
        let sandbox = r#"{"io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-name":"web-7f"}"#;
        assert_eq!(name_in(sandbox).as_deref(), Some("shop/web-7f"));
        let crio = r#"{"io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.name":"web-7f",
            "io.kubernetes.container.name":"nginx","io.kubernetes.cri-o.ContainerName":"k8s_nginx_web"}"#;
        assert_eq!(name_in(crio).as_deref(), Some("shop/web-7f/nginx"));
        assert_eq!(name_in(r#"{"nerdctl/name":"db"}"#).as_deref(), Some("db"));
        assert_eq!(name_in(r#"{"nerdctl/name":""}"#), None);
        assert_eq!(name_in(r#"{"org.example":"db"}"#), None);
        assert_eq!(name_in(r#"{"nerdctl/name":7}"#), None);
        let escaped = name_in(r#"{"nerdctl\/name":"d\u0062"}"#);
        assert_eq!(escaped.as_deref(), Some("db"));
    }

    #[test]
    fn a_bundle_of_dockerd_says_where_its_name_is() {
        let config = br#"{"mounts":[{"destination":"/proc","type":"proc","source":"proc"},
            {"destination":"/x","source":"/d/containers/other/hostname"},
            {"destination":"/etc/hostname","source":"/d/containers/0f/hostname"}]}"#;
        let bundle = of_bundle(config, "0f");
        assert_eq!(bundle.name, None);
        assert_eq!(bundle.docker, Some("/d/containers/0f".into()));
    }

    #[test]
    fn dockerd_and_stores_have_names() {
        let docker = br#"{"ID":"0f","Name":"/web","State":{}}"#;
        assert_eq!(of_docker(docker).as_deref(), Some("web"));
        let store = br#"[{"id":"0f","names":["web"],"image":"1a"},{"id":"2b"},{"id":"3c","names":["db","x"]}]"#;
        let names = of_store(store);
        assert_eq!(names.len(), 2);
        assert_eq!(names["3c"], "db");
    }

    #[test]
    fn a_name_has_a_bound() {
        let name = |bytes: usize| "x".repeat(bytes);
        for bytes in [NAME_MAX_BYTES, NAME_MAX_BYTES + 1] {
            let (name, fits) = (name(bytes), bytes <= NAME_MAX_BYTES);
            let annotation = format!(r#"{{"nerdctl/name":"{name}"}}"#);
            assert_eq!(name_in(&annotation).is_some(), fits);
            let docker = format!(r#"{{"Name":"/{name}"}}"#);
            assert_eq!(of_docker(docker.as_bytes()).is_some(), fits);
            let store = format!(r#"[{{"id":"0f","names":["{name}"]}}]"#);
            assert_eq!(of_store(store.as_bytes()).len(), usize::from(fits));
        }
    }

    #[test]
    fn what_is_cut_off_gives_no_name() {
        for bytes in [
            &b""[..],
            b"{",
            b"[{\"id\":\"0f\",\"na",
            b"null",
            b"\xff",
            b"[]",
        ] {
            assert_eq!(of_bundle(bytes, "0f"), Bundle::default());
            assert_eq!(of_docker(bytes), None);
            assert!(of_store(bytes).is_empty());
        }
    }
}
