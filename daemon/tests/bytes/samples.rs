//! Objects as an API server sends them: made from a seed, each different in what differs between real ones.

use serde_json::{Value, json};

/// Stands in the data of every Secret, plain and in base64.
pub const CANARY: [&str; 2] = ["canary-in-a-coal-mine", "Y2FuYXJ5LWluLWEtY29hbC1taW5l"];

/// Pseudo-random numbers, the same for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    fn hex(&mut self, digits: usize) -> String {
        let text = format!(
            "{:016x}{:016x}{:016x}{:016x}",
            self.next(),
            self.next(),
            self.next(),
            self.next()
        );
        text[..digits].to_owned()
    }

    fn uid(&mut self) -> String {
        let hex = self.hex(32);
        format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }

    fn time(&mut self) -> String {
        let (day, hour, minute, second) = (self.below(28) + 1, self.below(24), self.below(60), self.below(60));
        format!(
            "2026-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z",
            self.below(9) + 1
        )
    }
}

const WORDS: [&str; 24] = [
    "billing", "search", "ledger", "gateway", "orders", "stock", "mail", "render", "auth", "profile", "reports",
    "quota", "audit", "catalog", "shipping", "pricing", "session", "export", "ingest", "metrics", "notify", "router",
    "planner", "batch",
];
const KEYS: [&str; 16] = [
    "LOG_LEVEL",
    "HTTP_PORT",
    "DATABASE_URL",
    "CACHE_SIZE",
    "REGION",
    "JAVA_OPTS",
    "RETRIES",
    "TIMEOUT_SECONDS",
    "FEATURE_FLAGS",
    "QUEUE_NAME",
    "BUCKET",
    "TRACE_ENDPOINT",
    "POOL_SIZE",
    "TLS_MODE",
    "TENANT",
    "BUILD",
];

/// So many objects, made by as many threads as can run.
pub fn many(count: usize, make: fn(usize) -> Vec<u8>) -> Vec<Vec<u8>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let numbers: Vec<usize> = (0..count).collect();
    std::thread::scope(|scope| {
        let work = |numbers: &[usize]| numbers.iter().map(|number| make(*number)).collect::<Vec<_>>();
        let chunks = numbers.chunks(count.div_ceil(threads));
        let working: Vec<_> = chunks.map(|chunk| scope.spawn(move || work(chunk))).collect();
        working.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// A pod of another workload, 8 to 11 kB of JSON.
pub fn foreign_pod(number: usize) -> Vec<u8> {
    let mut random = Random(number as u64 + 1_000_000);
    let app = format!("{}-{}", random.one(&WORDS), random.one(&WORDS));
    let template = random.hex(10);
    let name = format!("{app}-{template}-{}", random.hex(5));
    let labels = json!({
        "app.kubernetes.io/name": app, "app.kubernetes.io/instance": format!("{app}-{}", random.below(40)),
        "team": random.one(&WORDS), "tier": random.one(&["web", "worker", "data"]), "pod-template-hash": template,
    });
    let namespace = format!("team-{}", random.below(50));
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-{template}"),
        "uid": random.uid(), "controller": true, "blockOwnerDeletion": true});
    let annotations = json!({"prometheus.io/scrape": "true", "checksum/config": random.hex(64),
        "kubectl.kubernetes.io/restartedAt": random.time()});
    pod(&mut random, &name, &namespace, &labels, &annotations, &owner)
}

/// A pod of one of our clusters of three.
pub fn own_pod(number: usize) -> Vec<u8> {
    let mut of_cluster = Random((number / 3) as u64 + 7);
    let mut random = Random(number as u64 + 5_000_000);
    let (cluster, ordinal) = (format!("{}-graph-{}", of_cluster.one(&WORDS), number / 3), number % 3);
    let set = format!("{cluster}-server");
    let name = format!("{set}-{ordinal}");
    let namespace = format!("team-{}", of_cluster.below(50));
    let labels = json!({
        "app.kubernetes.io/name": "neo4j", "app.kubernetes.io/instance": cluster,
        "app.kubernetes.io/component": "database", "app.kubernetes.io/part-of": "neo4j-cluster",
        "app.kubernetes.io/managed-by": "neo4j-operator", "app.kubernetes.io/version": "2025.10.1",
        "neo4j.com/cluster": cluster, "neo4j.com/clustering": "true", "neo4j.com/server-name": "server",
        "apps.kubernetes.io/pod-index": ordinal.to_string(), "statefulset.kubernetes.io/pod-name": name,
        "controller-revision-hash": format!("{set}-{}", of_cluster.hex(10)),
    });
    let annotations = json!({"neo4j.neo4j.com/config-hash": of_cluster.hex(16), "prometheus.io/scrape": "true",
        "prometheus.io/port": "2004", "prometheus.io/path": "/metrics"});
    let owner = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": set, "uid": of_cluster.uid(),
        "controller": true, "blockOwnerDeletion": true});
    pod(&mut random, &name, &namespace, &labels, &annotations, &owner)
}

/// What there is of a container. It is written as text: trees of all the values would take a test without
/// optimisation most of its time.
struct Container {
    text: String,
    managed: String,
    status: String,
}

/// Puts a text in the place of a name in a JSON text.
fn put(text: &str, name: &str, part: &str) -> String {
    let (before, after) = text.split_once(&format!("\"{name}\"")).unwrap();
    [before, part, after].concat()
}

/// A variable, and what managedFields say of it.
fn variable(random: &mut Random, number: u64) -> (String, String) {
    let key = format!("{}_{number}", random.one(&KEYS));
    let value = match random.below(4) {
        0 => format!(
            r#""valueFrom":{{"secretKeyRef":{{"name":"{}-secrets","key":"{}"}}}}"#,
            random.one(&WORDS),
            random.one(&WORDS)
        ),
        1 => r#""valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}}"#.to_owned(),
        2 => format!(r#""value":"{}""#, random.below(100_000)),
        _ => format!(
            r#""value":"https://{}.{}.svc/{}""#,
            random.one(&WORDS),
            random.one(&WORDS),
            random.hex(8)
        ),
    };
    (
        format!(r#"{{"name":"{key}",{value}}}"#),
        format!(r#""k:{{\"name\":\"{key}\"}}":{{".":{{}},"f:name":{{}},"f:value":{{}}}}"#),
    )
}

fn container(random: &mut Random, place: u64, variables: u64) -> Container {
    let name = if place == 0 {
        "main".to_owned()
    } else {
        format!("{}-{place}", random.one(&WORDS))
    };
    let image = format!(
        "registry.example.com/{}/{}:{}.{}.{}",
        random.one(&WORDS),
        random.one(&WORDS),
        random.below(9),
        random.below(30),
        random.below(30)
    );
    let (env, env_managed): (Vec<_>, Vec<_>) = (0..variables).map(|number| variable(random, number)).unzip();
    let port = 1024 + random.below(60_000);
    let probe = |path: &str, period: u64| {
        format!(
            r#"{{"httpGet":{{"path":"{path}","port":{port},"scheme":"HTTP"}},"initialDelaySeconds":5,"periodSeconds":{period},"timeoutSeconds":1,"successThreshold":1,"failureThreshold":3}}"#
        )
    };
    let resources = format!(
        r#"{{"requests":{{"cpu":"{}m","memory":"{}Mi"}},"limits":{{"memory":"{}Mi"}}}}"#,
        random.below(4000),
        random.below(8192),
        random.below(8192) + 8192
    );
    let (live, ready) = (probe("/healthz", 10), probe("/ready", 5 + random.below(10)));
    let env = env.join(",");
    let text = format!(
        r#"{{"name":"{name}","image":"{image}","env":[{env}],"ports":[{{"name":"http","containerPort":{port},"protocol":"TCP"}}],"resources":{resources},"livenessProbe":{live},"readinessProbe":{ready},"volumeMounts":[{{"name":"data","mountPath":"/var/lib/{name}"}},{{"name":"config","mountPath":"/etc/config","readOnly":true}},{{"name":"kube-api-access","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","readOnly":true}}],"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent","securityContext":{{"allowPrivilegeEscalation":false,"readOnlyRootFilesystem":true,"capabilities":{{"drop":["ALL"]}}}}}}"#
    );
    let probe = r#"{"f:httpGet":{},"f:initialDelaySeconds":{},"f:periodSeconds":{},"f:timeoutSeconds":{},"f:successThreshold":{},"f:failureThreshold":{}}"#;
    let env = env_managed.join(",");
    let managed = format!(
        r#""k:{{\"name\":\"{name}\"}}":{{"f:name":{{}},"f:image":{{}},"f:env":{{{env}}},"f:ports":{{}},"f:resources":{{"f:requests":{{}},"f:limits":{{}}}},"f:livenessProbe":{probe},"f:readinessProbe":{probe},"f:volumeMounts":{{}},"f:terminationMessagePath":{{}},"f:terminationMessagePolicy":{{}},"f:imagePullPolicy":{{}},"f:securityContext":{{"f:allowPrivilegeEscalation":{{}},"f:readOnlyRootFilesystem":{{}},"f:capabilities":{{}}}}}}"#
    );
    let restarts = if random.below(10) == 0 { random.below(20) } else { 0 };
    let last = if restarts > 0 {
        let (began, ended, id) = (random.time(), random.time(), random.hex(64));
        format!(
            r#"{{"terminated":{{"exitCode":137,"reason":"OOMKilled","startedAt":"{began}","finishedAt":"{ended}","containerID":"containerd://{id}"}}}}"#
        )
    } else {
        "{}".to_owned()
    };
    let runs = random.below(25) > 0;
    let state = if runs {
        format!(r#"{{"running":{{"startedAt":"{}"}}}}"#, random.time())
    } else {
        r#"{"waiting":{"reason":"CrashLoopBackOff","message":"back-off 5m0s restarting failed container"}}"#.to_owned()
    };
    let (image_id, id) = (random.hex(64), random.hex(64));
    let status = format!(
        r#"{{"name":"{name}","ready":{runs},"restartCount":{restarts},"started":true,"state":{state},"lastState":{last},"image":"{image}","imageID":"{image}@sha256:{image_id}","containerID":"containerd://{id}"}}"#
    );
    Container { text, managed, status }
}

/// Managed fields without fields of their own.
fn fields<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let fields: Vec<String> = names.map(|name| format!(r#""f:{name}":{{}}"#)).collect();
    format!("{{{}}}", fields.join(","))
}

fn managed(containers: &str, labels: &Value, random: &mut Random) -> String {
    let managed = json!([
        {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": random.time(), "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": "@labels", "f:ownerReferences": {}}, "f:spec": {"f:containers": "@containers"}}},
        {"manager": "kubelet", "operation": "Update", "subresource": "status", "apiVersion": "v1", "time": random.time(), "fieldsType": "FieldsV1",
            "fieldsV1": {"f:status": {"f:conditions": {r#"k:{"type":"Ready"}"#: {".": {}, "f:status": {}, "f:type": {}}},
                "f:containerStatuses": {}, "f:hostIP": {}, "f:phase": {}, "f:podIP": {}, "f:podIPs": {}, "f:startTime": {}}}},
    ]);
    let labels = fields(labels.as_object().unwrap().keys());
    let text = put(&managed.to_string(), "@labels", &labels);
    put(&text, "@containers", &format!("{{{containers}}}"))
}

fn pod(
    random: &mut Random,
    name: &str,
    namespace: &str,
    labels: &Value,
    annotations: &Value,
    owner: &Value,
) -> Vec<u8> {
    let count = 1 + random.below(4);
    // Pods with few containers have more variables each, so that all are of about one size.
    let variables = [24, 12, 6, 2][count as usize - 1] + random.below(4);
    let containers: Vec<Container> = (0..count).map(|place| container(random, place, variables)).collect();
    let all = |part: fn(&Container) -> &str| containers.iter().map(part).collect::<Vec<_>>().join(",");
    let managed = managed(&all(|one| &one.managed), labels, random);
    let ip = format!("10.{}.{}.{}", random.below(256), random.below(256), random.below(256));
    let conditions: Vec<Value> = [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ]
    .iter()
    .map(|kind| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": random.time()}))
    .collect();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "generateName": format!("{}-", name.rsplit_once('-').unwrap().0), "namespace": namespace,
            "uid": random.uid(), "resourceVersion": (100_000 + random.below(900_000_000)).to_string(), "generation": 1,
            "creationTimestamp": random.time(), "labels": labels, "annotations": annotations,
            "ownerReferences": [owner], "managedFields": "@managed",
        },
        "spec": {
            "containers": "@containers", "nodeName": format!("node-{}.zone-{}.example.com", random.below(300), random.below(3)),
            "serviceAccountName": random.one(&WORDS), "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30 + random.below(90), "priority": 0,
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": format!("data-{name}")}},
                {"name": "config", "configMap": {"name": format!("{}-conf", random.one(&WORDS)), "defaultMode": 420}},
                {"name": "kube-api-access", "projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}]}},
            ],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": random.below(100) + 1,
                "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}}]}},
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
        },
        "status": {"phase": "Running", "conditions": conditions, "hostIP": "192.168.0.7", "podIP": ip, "podIPs": [{"ip": ip}],
            "startTime": random.time(), "qosClass": "Burstable", "containerStatuses": "@statuses"},
    });
    let text = put(&pod.to_string(), "@managed", &managed);
    let text = put(&text, "@containers", &format!("[{}]", all(|one| &one.text)));
    put(&text, "@statuses", &format!("[{}]", all(|one| &one.status))).into_bytes()
}

/// A Secret of ours, of a password, a certificate or a release.
pub fn secret(number: usize) -> Vec<u8> {
    with_data(
        "Secret",
        number,
        &json!({"password": CANARY[1], "blob": Random(number as u64).hex(64).repeat(60)}),
    )
}

/// A ConfigMap of ours.
pub fn config_map(number: usize) -> Vec<u8> {
    let mut random = Random(number as u64);
    let text: String = (0..60)
        .map(|_| format!("{}.{}={}\n", random.one(&WORDS), random.one(&WORDS), random.below(1000)))
        .collect();
    with_data("ConfigMap", number, &json!({"neo4j.conf": text}))
}

fn with_data(kind: &str, number: usize, data: &Value) -> Vec<u8> {
    let mut random = Random(number as u64 + 9_000_000);
    let cluster = format!("{}-graph-{number}", random.one(&WORDS));
    let object = json!({
        "apiVersion": "v1", "kind": kind, "type": "Opaque",
        "metadata": {
            "name": format!("{cluster}-{}", kind.to_lowercase()), "namespace": format!("team-{}", random.below(50)), "uid": random.uid(),
            "resourceVersion": (100_000 + random.below(900_000_000)).to_string(), "creationTimestamp": random.time(),
            "labels": {"app.kubernetes.io/name": "neo4j", "app.kubernetes.io/instance": cluster, "neo4j.com/cluster": cluster,
                "app.kubernetes.io/component": "database", "app.kubernetes.io/part-of": "neo4j-cluster",
                "app.kubernetes.io/managed-by": "neo4j-operator"},
            "annotations": {"neo4j.neo4j.com/applied-hash": random.hex(16),
                "kubectl.kubernetes.io/last-applied-configuration": json!({"data": data, "stringData": CANARY[0]}).to_string()},
            "ownerReferences": [{"apiVersion": "neo4j.neo4j.com/v1beta1", "kind": "Neo4jEnterpriseCluster", "name": cluster,
                "uid": random.uid(), "controller": true}],
            "managedFields": [{"manager": "neo4j-operator", "operation": "Apply", "apiVersion": "v1", "time": random.time(),
                "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:password": {}}}}],
        },
        "data": data,
    });
    object.to_string().into_bytes()
}
