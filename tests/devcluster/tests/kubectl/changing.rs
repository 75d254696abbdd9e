//! Ways to change an object: dry runs, differences, prunes, an editor, replacement, patches, labels and annotations.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{DATABASE, Kubectl};

/// Two objects that a label holds together; `value` is the first one's.
fn pair(value: &str) -> String {
    format!("{}---\n{}", map("one", value), map("two", "b"))
}

fn map(name: &str, value: &str) -> String {
    format!(
        "
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}, labels: {{set: x}}}}
data: {{k: {value}}}
"
    )
}

/// What is applied, and what would be.
pub(crate) fn session_of_files(kubectl: &Kubectl) {
    kubectl.file("pair.yaml", &pair("a"));
    kubectl.file("changed.yaml", &pair("c"));
    kubectl.file("one.yaml", &map("one", "a"));
    let created = kubectl.ok(&["apply", "--dry-run=server", "-f", "pair.yaml"]);
    assert_eq!(created.matches("created (server dry run)").count(), 2, "{created}");
    assert_eq!(kubectl.ok(&["get", "cm", "-l", "set=x", "-o=name"]), "");
    kubectl.ok(&["apply", "-f", "pair.yaml"]);
    let version = kubectl.field("cm/one", ".metadata.resourceVersion");
    let dry = kubectl.ok(&["apply", "--dry-run=server", "-f", "changed.yaml"]);
    assert_eq!(
        dry,
        "configmap/one configured (server dry run)\nconfigmap/two unchanged (server dry run)\n"
    );

    assert_eq!(kubectl.ok(&["diff", "-f", "pair.yaml"]), "");
    for differ in [&["diff"][..], &["diff", "--server-side", "--force-conflicts"]] {
        let found = kubectl.run(&[differ, &["-f", "changed.yaml"]].concat());
        let shown = String::from_utf8_lossy(&found.stdout);
        assert_eq!(found.status.code(), Some(1), "{shown}");
        let lines: Vec<&str> = shown
            .lines()
            .filter(|line| line.starts_with(['-', '+']) && !line.starts_with("---") && !line.starts_with("+++"))
            .collect();
        assert_eq!(lines, ["-  k: a", "+  k: c"], "{shown}");
    }
    assert_eq!(kubectl.field("cm/one", ".metadata.resourceVersion"), version);

    let prune = ["apply", "--prune", "-l", "set=x", "--prune-allowlist=core/v1/ConfigMap"];
    kubectl.ok(&["create", "configmap", "by-hand", "--from-literal=k=a"]);
    kubectl.ok(&["label", "cm", "by-hand", "set=x"]);
    let pruned = kubectl.ok(&[&prune[..], &["-f", "one.yaml"]].concat());
    assert_eq!(pruned, "configmap/one unchanged\nconfigmap/two pruned\n");
    let left = kubectl.ok(&["get", "cm", "-l", "set=x", "-o=name"]);
    assert_eq!(left, "configmap/by-hand\nconfigmap/one\n");

    kubectl.file("changed.yaml", &map("one", "c"));
    let replaced = kubectl.ok(&["replace", "-f", "changed.yaml"]);
    assert_eq!(replaced, "configmap/one replaced\n");
    assert_eq!(kubectl.field("cm/one", ".data.k"), "c");
    let uid = kubectl.field("cm/one", ".metadata.uid");
    kubectl.ok(&["replace", "--force", "-f", "changed.yaml"]);
    assert_ne!(kubectl.field("cm/one", ".metadata.uid"), uid);
    kubectl.file("absent.yaml", &map("absent", "a"));
    let refused = kubectl.fails(&["replace", "-f", "absent.yaml"]);
    assert!(refused.contains("configmaps \"absent\" not found"), "{refused}");
}

/// What an editor does: a script takes its place.
pub(crate) fn session_of_an_editor(kubectl: &Kubectl) {
    kubectl.file("database.yaml", DATABASE);
    kubectl.ok(&["apply", "-f", "database.yaml"]);
    let edit = |script: &str| {
        kubectl.file(
            "editor",
            &format!("#!/bin/sh\nsed '{script}' \"$1\" > edited && cat edited > \"$1\"\n"),
        );
        let editor = kubectl.folder.join("editor");
        fs::set_permissions(&editor, fs::Permissions::from_mode(0o700)).unwrap();
        let mut command = kubectl.command(&["edit", "sts", "db"]);
        command
            .env("KUBE_EDITOR", editor)
            .env("TMPDIR", &kubectl.folder)
            .output()
            .unwrap()
    };
    let edited = edit("s/replicas: 2/replicas: 3/");
    assert_eq!(String::from_utf8_lossy(&edited.stdout), "statefulset.apps/db edited\n");
    assert_eq!(kubectl.field("sts/db", ".spec.replicas"), "3");
    let same = edit("s/replicas: 2/replicas: 3/");
    let said = String::from_utf8_lossy(&same.stderr);
    assert!(same.status.success() && said.contains("no changes made"), "{said}");
    // It opens the editor again with the server's complaint; the script changes nothing more, and kubectl gives up.
    let invalid = edit("s/replicas: 3/replicas: -1/");
    let said = String::from_utf8_lossy(&invalid.stderr);
    assert!(
        !invalid.status.success() && said.contains("statefulsets.apps \"db\" is invalid"),
        "{said}"
    );
    let complaint = fs::read_to_string(kubectl.folder.join("edited")).unwrap();
    assert!(
        complaint.contains("# * spec.replicas: Invalid value: -1"),
        "{complaint}"
    );
    assert_eq!(kubectl.field("sts/db", ".spec.replicas"), "3");
}

/// The three patches, labels and annotations.
pub(crate) fn session_of_patches(kubectl: &Kubectl) {
    kubectl.file("objects.yaml", &format!("{}---\n{DATABASE}", map("one", "a")));
    kubectl.ok(&["apply", "-f", "objects.yaml"]);
    let patch = |kind: &str, patch: &str| kubectl.run(&["patch", "cm", "one", &format!("--type={kind}"), "-p", patch]);
    let tested =
        r#"[{"op": "test", "path": "/data/k", "value": "a"}, {"op": "replace", "path": "/data/k", "value": "j"}]"#;
    assert!(patch("json", tested).status.success());
    assert_eq!(kubectl.field("cm/one", ".data"), r#"{"k":"j"}"#);
    let stale = patch("json", tested);
    let said = String::from_utf8_lossy(&stale.stderr);
    assert!(
        !stale.status.success() && said.contains("The request is invalid"),
        "{said}"
    );
    assert!(patch("merge", r#"{"data": {"k": null, "m": "1"}}"#).status.success());
    assert_eq!(kubectl.field("cm/one", ".data"), r#"{"m":"1"}"#);
    let unchanged = patch("merge", r#"{"data": {"m": "1"}}"#);
    assert_eq!(
        String::from_utf8_lossy(&unchanged.stdout),
        "configmap/one patched (no change)\n"
    );

    // Containers and variables are merged by name with the strategic patch, and lists are replaced by the others.
    let containers = |list: &str| format!(r#"{{"spec": {{"template": {{"spec": {{"containers": {list}}}}}}}}}"#);
    let variables = ".spec.template.spec.containers[*].env[*].name";
    let added = containers(r#"[{"name": "c", "env": [{"name": "B", "value": "2"}]}]"#);
    kubectl.ok(&["patch", "sts", "db", "-p", &added]);
    assert_eq!(kubectl.field("sts/db", variables), "B A");
    let removed = containers(r#"[{"name": "c", "env": [{"name": "A", "$patch": "delete"}]}]"#);
    kubectl.ok(&["patch", "sts", "db", "--type=strategic", "-p", &removed]);
    assert_eq!(kubectl.field("sts/db", variables), "B");
    let whole = containers(r#"[{"name": "d", "image": "other"}]"#);
    kubectl.ok(&["patch", "sts", "db", "--type=merge", "-p", &whole]);
    assert_eq!(kubectl.field("sts/db", ".spec.template.spec.containers[*].name"), "d");

    assert_eq!(
        kubectl.ok(&["label", "cm", "one", "colour=red"]),
        "configmap/one labeled\n"
    );
    let refused = kubectl.fails(&["label", "cm", "one", "colour=blue"]);
    assert!(
        refused.contains("'colour' already has a value (red), and --overwrite is false"),
        "{refused}"
    );
    kubectl.ok(&["label", "cm", "-l", "colour=red", "colour=blue", "--overwrite"]);
    assert_eq!(kubectl.field("cm/one", ".metadata.labels.colour"), "blue");
    assert_eq!(
        kubectl.ok(&["label", "cm", "one", "colour-"]),
        "configmap/one unlabeled\n"
    );
    assert_eq!(kubectl.field("cm/one", ".metadata.labels"), r#"{"set":"x"}"#);
    let refused = kubectl.fails(&["label", "cm", "one", "colour=not valid"]);
    assert!(refused.contains("invalid label value"), "{refused}");

    let note = ".metadata.annotations.example\\.com/note";
    kubectl.ok(&["annotate", "cm", "one", "example.com/note=any text"]);
    assert_eq!(kubectl.field("cm/one", note), "any text");
    let refused = kubectl.fails(&["annotate", "cm", "one", "example.com/note=other"]);
    assert!(refused.contains("already has a value (any text)"), "{refused}");
    kubectl.ok(&["annotate", "cm", "one", "example.com/note=other", "--overwrite"]);
    assert_eq!(kubectl.field("cm/one", note), "other");
    kubectl.ok(&["annotate", "cm", "one", "example.com/note-"]);
    assert_eq!(kubectl.field("cm/one", note), "");
}
