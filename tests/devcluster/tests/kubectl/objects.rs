//! Definitions, objects, their tables and schemas: applied, changed, scaled, refused and deleted.

use super::Kubectl;

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer, minimum: 1}}
          status: {type: object, properties: {size: {type: integer}}}
";

const OBJECTS: &str = "
apiVersion: example.com/v1
kind: Widget
metadata: {name: w}
spec: {size: 3}
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {selector: {a: b}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: s
  replicas: 2
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {containers: [{name: c, image: i, env: [{name: A, value: '1'}]}]}
";

/// What people do first.
pub(crate) fn session(kubectl: &Kubectl) {
    kubectl.file("definition.yaml", DEFINITION);
    kubectl.file("objects.yaml", OBJECTS);
    kubectl.ok(&["apply", "-f", "definition.yaml"]);
    kubectl.ok(&[
        "wait",
        "--for=condition=Established",
        "crd/widgets.example.com",
        "--timeout=20s",
    ]);
    kubectl.ok(&["apply", "-f", "objects.yaml"]);
    let again = kubectl.ok(&["apply", "-f", "objects.yaml"]);
    assert_eq!(again.matches("unchanged").count(), 3, "{again}");
    kubectl.file(
        "objects.yaml",
        &OBJECTS.replace("size: 3", "size: 4").replace("'1'", "'2'"),
    );
    let changed = kubectl.ok(&["apply", "-f", "objects.yaml"]);
    assert_eq!(changed.matches("configured").count(), 2, "{changed}");

    let table = kubectl.ok(&["get", "wd"]);
    assert!(table.contains("SIZE") && table.contains('4'), "{table}");
    assert!(kubectl.ok(&["get", "statefulsets"]).contains("0/2"));
    assert!(
        kubectl
            .ok(&["get", "services", "-o", "yaml"])
            .contains("clusterIP: 10.")
    );
    assert!(
        kubectl
            .ok(&["describe", "widget", "w"])
            .contains("Kind:         Widget")
    );
    kubectl.ok(&["scale", "statefulset", "db", "--replicas=3"]);
    assert!(
        kubectl
            .ok(&["get", "sts/db", "-o", "jsonpath={.spec.replicas}"])
            .contains('3')
    );
    assert!(kubectl.ok(&["explain", "widget.spec"]).contains("size\t<integer>"));
    assert!(
        kubectl
            .ok(&["explain", "statefulset.spec.template.spec.containers"])
            .contains("image")
    );
    kubectl.ok(&[
        "patch",
        "widget",
        "w",
        "--subresource=status",
        "--type=merge",
        "-p",
        "{\"status\":{\"size\":4}}",
    ]);
    kubectl.ok(&["apply", "--server-side", "--force-conflicts", "-f", "objects.yaml"]);
    assert!(kubectl.ok(&["api-resources"]).contains("poddisruptionbudgets"));
    assert!(kubectl.ok(&["version"]).contains("+embedded"));

    kubectl.file("bad.yaml", &OBJECTS.replace("size: 3", "size: 3, nope: 1"));
    let refused = kubectl.fails(&["apply", "-f", "bad.yaml"]);
    assert!(refused.contains("unknown field \"spec.nope\""), "{refused}");
    kubectl.file("bad.yaml", &OBJECTS.replace("size: 3", "size: 0"));
    let refused = kubectl.fails(&["apply", "-f", "bad.yaml"]);
    assert!(
        refused.contains("spec.size") && refused.contains("greater than or equal to 1"),
        "{refused}"
    );

    kubectl.ok(&["delete", "-f", "objects.yaml", "--timeout=20s"]);
    kubectl.ok(&["delete", "crd", "widgets.example.com", "--timeout=20s"]);
    kubectl.fails(&["get", "widgets"]);
}
