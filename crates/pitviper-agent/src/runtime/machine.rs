//! Where the process runs: machine, operating system, container, pod. By OpenTelemetry's resource
//! conventions, from files and variables alone: nothing is asked over the network.

use std::fs;
use std::path::Path;

use pitviper_model::{Attributes, Value};

/// Variables that charts and operators fill from Kubernetes' downward API: those whose names say so, and
/// those that only count in a pod, because elsewhere they may mean anything.
const VARIABLES: [(&str, &[&str], &[&str]); 7] = [
    (
        "k8s.pod.name",
        &["PITVIPER_K8S_POD_NAME", "OTEL_RESOURCE_ATTRIBUTES_POD_NAME", "K8S_POD_NAME", "KUBERNETES_POD_NAME"],
        &["POD_NAME"],
    ),
    (
        "k8s.pod.uid",
        &["PITVIPER_K8S_POD_UID", "OTEL_RESOURCE_ATTRIBUTES_POD_UID", "K8S_POD_UID", "KUBERNETES_POD_UID"],
        &["POD_UID"],
    ),
    (
        "k8s.namespace.name",
        &["PITVIPER_K8S_NAMESPACE", "K8S_NAMESPACE", "KUBERNETES_NAMESPACE"],
        &["POD_NAMESPACE", "NAMESPACE"],
    ),
    (
        "k8s.node.name",
        &["PITVIPER_K8S_NODE_NAME", "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME", "K8S_NODE_NAME", "KUBERNETES_NODE_NAME"],
        &["NODE_NAME"],
    ),
    ("k8s.container.name", &["PITVIPER_K8S_CONTAINER_NAME", "K8S_CONTAINER_NAME"], &["CONTAINER_NAME"]),
    ("k8s.deployment.name", &["PITVIPER_K8S_DEPLOYMENT_NAME", "K8S_DEPLOYMENT_NAME"], &["DEPLOYMENT_NAME"]),
    (IMAGE, &["PITVIPER_CONTAINER_IMAGE", "CONTAINER_IMAGE"], &["IMAGE_NAME", "IMAGE"]),
];
const IMAGE: &str = "container.image.name";

/// Files of a downward API volume, at the usual place.
const POD_FILES: [(&str, &str); 3] = [
    ("k8s.pod.name", "etc/podinfo/name"),
    ("k8s.pod.uid", "etc/podinfo/uid"),
    ("k8s.namespace.name", "etc/podinfo/namespace"),
];
/// Every pod with a service account has its namespace here.
const NAMESPACE_FILE: &str = "var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Longest value that is believed, in bytes.
const MAX_VALUE_BYTES: usize = 512;

/// The attributes of the machine. `root` is `/` but in tests; `variable` reads the environment.
pub fn machine_attributes(root: &Path, variable: impl Fn(&str) -> Option<String>) -> Attributes {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let line = |path: &str| read(path).map(|text| text.trim().to_owned()).filter(|text| is_plausible(text));
    let mut attributes = Attributes::default();
    attributes.set("host.arch", architecture(std::env::consts::ARCH));
    if let Some(id) = line("etc/machine-id").or_else(|| line("var/lib/dbus/machine-id")) {
        attributes.set("host.id", id);
    }
    if let Some(release) = read("etc/os-release").or_else(|| read("usr/lib/os-release")) {
        for (key, field) in [("os.name", "NAME"), ("os.version", "VERSION_ID"), ("os.description", "PRETTY_NAME")] {
            if let Some(value) = release_field(&release, field) {
                attributes.set(key, value);
            }
        }
    }
    if let Some(build) = line("proc/sys/kernel/osrelease") {
        attributes.set("os.build_id", build);
    }
    let (groups, mounts) =
        (read("proc/self/cgroup").unwrap_or_default(), read("proc/self/mountinfo").unwrap_or_default());
    if let Some((id, runtime)) = container(&groups, &mounts) {
        attributes.set("container.id", id);
        if let Some(runtime) = runtime {
            attributes.set("container.runtime", runtime);
        }
    }
    if let Some(uid) = pod_uid(&groups).or_else(|| pod_uid(&mounts)) {
        attributes.set("k8s.pod.uid", uid);
    }
    let is_pod = variable("KUBERNETES_SERVICE_HOST").is_some();
    if is_pod {
        // A pod's host name is its name, unless its maker said otherwise.
        if let Some(name) = variable("HOSTNAME").filter(|name| is_plausible(name)) {
            attributes.set("k8s.pod.name", name);
        }
        if let Some(namespace) = line(NAMESPACE_FILE) {
            attributes.set("k8s.namespace.name", namespace);
        }
    }
    for (key, path) in POD_FILES {
        if let Some(value) = line(path) {
            attributes.set(key, value);
        }
    }
    for (key, names, in_pods) in VARIABLES {
        let in_pods = if is_pod { in_pods } else { &[] };
        let value = names.iter().chain(in_pods).find_map(|name| variable(name).filter(|value| is_plausible(value)));
        match value {
            Some(image) if key == IMAGE => set_image(&mut attributes, &image),
            Some(value) => attributes.set(key, value),
            None => {}
        }
    }
    attributes
}

fn is_plausible(value: &str) -> bool {
    !value.is_empty() && value.len() <= MAX_VALUE_BYTES && !value.contains('\n')
}

fn architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "x86",
        "arm" => "arm32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

fn release_field(release: &str, field: &str) -> Option<String> {
    let value = release.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

/// An image as it is pulled: `registry:5000/shop/web:1.2@sha256:…`.
fn set_image(attributes: &mut Attributes, image: &str) {
    let (image, digest) = image.split_once('@').map_or((image, None), |(image, digest)| (image, Some(digest)));
    // A colon before the last slash belongs to the registry's port.
    let tag_at = image.rfind(':').filter(|at| !image[*at..].contains('/'));
    let (name, tag) = tag_at.map_or((image, None), |at| (&image[..at], Some(&image[at + 1..])));
    attributes.set(IMAGE, name.to_owned());
    if let Some(tag) = tag {
        attributes.set("container.image.tags", Value::Array(vec![Value::String(tag.to_owned())]));
    }
    if let Some(digest) = digest {
        attributes.set("container.image.repo_digests", Value::Array(vec![Value::String(format!("{name}@{digest}"))]));
    }
}

/// The container's id, and what runs it where that can be told: from the control group's path, or,
/// where that is hidden, from the files the runtime mounts into each container.
fn container(groups: &str, mounts: &str) -> Option<(String, Option<&'static str>)> {
    let of_group = groups.lines().find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        let last = path.rsplit('/').find(|part| !part.is_empty())?;
        let name = last.strip_suffix(".scope").unwrap_or(last);
        let prefixed = name.rsplit_once(['-', ':']).filter(|_| !is_container_id(name));
        let (prefix, id) = prefixed.unwrap_or(("", name));
        is_container_id(id).then(|| (id.to_owned(), runtime(prefix, path)))
    });
    of_group.or_else(|| {
        mounts.lines().find_map(|line| {
            let source = line.split(' ').nth(3)?;
            let mut parts = source.split('/');
            let kind = parts.find(|part| matches!(*part, "containers" | "overlay-containers"))?;
            let id = parts.next().filter(|id| is_container_id(id))?;
            Some((id.to_owned(), Some(if kind == "containers" { "docker" } else { "podman" })))
        })
    })
}

fn runtime(prefix: &str, path: &str) -> Option<&'static str> {
    match prefix {
        "docker" => Some("docker"),
        "cri-containerd" => Some("containerd"),
        "crio" => Some("cri-o"),
        "libpod" => Some("podman"),
        _ if path.starts_with("/docker/") => Some("docker"),
        _ => None,
    }
}

/// 64 hexadecimal digits; on AWS Fargate 32, a dash and a number.
fn is_container_id(text: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.len() == 64 && is_hex(text)
        || text.split_once('-').is_some_and(|(task, number)| {
            task.len() == 32 && is_hex(task) && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// The uid of the pod in a path such as `/kubepods/burstable/pod<uid>/…`; systemd writes it with `_`.
fn pod_uid(text: &str) -> Option<String> {
    const UID: usize = 36;
    text.match_indices("pod").find_map(|(at, _)| {
        let uid = text.get(at + 3..at + 3 + UID)?;
        let groups = uid.split(['-', '_']).map(str::len);
        let is_uid = groups.eq([8, 4, 4, 4, 12])
            && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'_'));
        is_uid.then(|| uid.replace('_', "-"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn containers_are_known_by_their_group() {
        for (group, expected) in [
            (format!("12:memory:/docker/{ID}"), Some("docker")),
            (format!("0::/system.slice/docker-{ID}.scope"), Some("docker")),
            (format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"), Some("containerd")),
            (format!("0::/machine.slice/libpod-{ID}.scope"), Some("podman")),
            (format!("1:name=systemd:/kubepods/besteffort/pod1/{ID}"), None),
        ] {
            assert_eq!(container(&group, ""), Some((ID.to_owned(), expected)), "{group}");
        }
        let fargate = "0123456789abcdef0123456789abcdef-1234567890";
        assert_eq!(container(&format!("1:cpu:/ecs/task/{fargate}"), ""), Some((fargate.to_owned(), None)));
        for group in ["0::/", "0::/user.slice/session-1.scope", "0::/init.scope", ""] {
            assert_eq!(container(group, ""), None, "{group}");
        }
    }

    #[test]
    fn containers_are_known_by_their_mounts() {
        let mounts = format!(
            "1 0 0:1 / / rw - overlay overlay rw\n2 1 8:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n"
        );
        assert_eq!(container("0::/\n", &mounts), Some((ID.to_owned(), Some("docker"))));
    }

    #[test]
    fn a_pod_describes_itself() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let uid = "11111111-2222-3333-4444-555555555555";
        write("etc/machine-id", "abc\n");
        write("etc/os-release", "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nPRETTY_NAME='Debian 12'\n");
        write("proc/self/cgroup", &format!("0::/kubepods-pod{}.slice/x\n", uid.replace('-', "_")));
        write(NAMESPACE_FILE, "shop");
        let variable = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("10.0.0.1".to_owned()),
            "HOSTNAME" => Some("web-1".to_owned()),
            "NODE_NAME" => Some("node-7".to_owned()),
            "CONTAINER_IMAGE" => Some("registry:5000/shop/web:1.2".to_owned()),
            _ => None,
        };
        let found = machine_attributes(root.path(), variable);
        for (key, value) in [
            ("host.id", "abc"),
            ("os.name", "Debian GNU/Linux"),
            ("os.version", "12"),
            ("os.description", "Debian 12"),
            ("k8s.pod.name", "web-1"),
            ("k8s.pod.uid", uid),
            ("k8s.namespace.name", "shop"),
            ("k8s.node.name", "node-7"),
            ("container.image.name", "registry:5000/shop/web"),
        ] {
            assert_eq!(found.get_str(key), Some(value), "{key}");
        }
        let tags = Value::Array(vec![Value::String("1.2".to_owned())]);
        assert_eq!(found.get("container.image.tags"), Some(&tags));
    }
}
