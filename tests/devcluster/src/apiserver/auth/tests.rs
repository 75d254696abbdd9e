//! Users, tokens, roles and reviews, through the door; the texts are those of a real server.

use std::sync::Arc;

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenReview},
    core::v1::{ConfigMap, Namespace, Pod, ServiceAccount},
    rbac::v1::{ClusterRole, Role, RoleBinding},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams},
};
use serde_json::{Value, json};

use super::User;
use crate::apiserver::{ManualClock, Options, Server};

/// A server with a namespace `n`, its clock, and its administrator.
async fn cluster() -> (Server, Arc<ManualClock>, Client) {
    let clock = Arc::new(ManualClock::new("2026-11-28T12:00:00Z".parse().unwrap()));
    let server = Server::new(Options {
        clock: Arc::clone(&clock) as _,
        ..Options::default()
    });
    let admin = server.client("n");
    make::<Namespace>(&Api::all(admin.clone()), json!({"metadata": {"name": "n"}})).await;
    make::<ServiceAccount>(
        &Api::default_namespaced(admin.clone()),
        json!({"metadata": {"name": "a"}}),
    )
    .await;
    (server, clock, admin)
}

async fn make<K>(api: &Api<K>, object: Value) -> K
where
    K: serde::de::DeserializeOwned + serde::Serialize + Clone + std::fmt::Debug,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap())
        .await
        .unwrap()
}

/// A Role of this name in `n` with these rules, bound to the service account `a`.
async fn grant(admin: &Client, name: &str, rules: Value) {
    make::<Role>(
        &Api::default_namespaced(admin.clone()),
        json!({"metadata": {"name": name}, "rules": rules}),
    )
    .await;
    make::<RoleBinding>(
        &Api::default_namespaced(admin.clone()),
        json!({
            "metadata": {"name": name}, "subjects": [{"kind": "ServiceAccount", "name": "a"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        }),
    )
    .await;
}

fn refusal<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> (u16, String, String) {
    match result {
        Err(kube::Error::Api(status)) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_user_may_what_its_bindings_say_and_is_told_what_it_may_not() {
    let (server, _, admin) = cluster().await;
    grant(
        &admin,
        "reader",
        json!([{"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["configmaps"]}]),
    )
    .await;
    let client = server.client_as(User::service_account("n", "a"), "n");
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    maps.list(&ListParams::default()).await.unwrap();
    drop(maps.watch(&WatchParams::default().timeout(1), "0").await.unwrap());
    let user = "User \"system:serviceaccount:n:a\" cannot";
    let map = serde_json::from_value(json!({"metadata": {"name": "m"}})).unwrap();
    let patch = Patch::Merge(json!({}));
    for (got, text) in [
        (
            refusal(maps.create(&PostParams::default(), &map).await),
            format!(
                "configmaps is forbidden: {user} create resource \"configmaps\" in API group \"\" in the namespace \"n\""
            ),
        ),
        (
            refusal(maps.patch("m", &PatchParams::default(), &patch).await),
            format!(
                "configmaps \"m\" is forbidden: {user} patch resource \"configmaps\" in API group \"\" in the namespace \"n\""
            ),
        ),
        (
            refusal(
                maps.delete_collection(&DeleteParams::default(), &ListParams::default())
                    .await,
            ),
            format!(
                "configmaps is forbidden: {user} deletecollection resource \"configmaps\" in API group \"\" in the namespace \"n\""
            ),
        ),
        (
            refusal(Api::<ConfigMap>::all(client.clone()).list(&ListParams::default()).await),
            format!(
                "configmaps is forbidden: {user} list resource \"configmaps\" in API group \"\" at the cluster scope"
            ),
        ),
        (
            refusal(Api::<Pod>::namespaced(client.clone(), "n").get_status("p").await),
            format!(
                "pods \"p\" is forbidden: {user} get resource \"pods/status\" in API group \"\" in the namespace \"n\""
            ),
        ),
        (
            refusal(Api::<Role>::namespaced(client.clone(), "o").get("r").await),
            format!(
                "roles.rbac.authorization.k8s.io \"r\" is forbidden: {user} get resource \"roles\" in API group \"rbac.authorization.k8s.io\" in the namespace \"o\""
            ),
        ),
    ] {
        assert_eq!(got, (403, "Forbidden".into(), text));
    }
    let denied = server.requests().into_iter().filter(|r| r.code == 403);
    assert!(denied.clone().all(|r| r.user == "system:serviceaccount:n:a"));
    let verbs: Vec<String> = denied.map(|r| r.verb).collect();
    assert_eq!(verbs, ["create", "patch", "deletecollection", "list", "get", "get"]);
}

#[tokio::test]
async fn an_apply_that_makes_an_object_takes_the_right_to_create() {
    let (server, _, admin) = cluster().await;
    grant(
        &admin,
        "patcher",
        json!([{"verbs": ["patch", "update"], "apiGroups": [""], "resources": ["configmaps", "services"]}]),
    )
    .await;
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client_as(User::service_account("n", "a"), "n"));
    let apply = PatchParams::apply("test").force();
    let patch = Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}));
    assert_eq!(
        refusal(maps.patch("m", &apply, &patch).await),
        (
            403,
            "Forbidden".into(),
            "configmaps \"m\" is forbidden: User \"system:serviceaccount:n:a\" cannot create resource \"configmaps\" in API group \"\" in the namespace \"n\"".into()
        )
    );
    let all: Api<ConfigMap> = Api::default_namespaced(admin);
    all.patch("m", &apply, &patch).await.unwrap();
    maps.patch("m", &apply, &patch).await.unwrap();
}

#[tokio::test]
async fn nobody_sees_that_the_server_is_there_and_everybody_what_it_serves() {
    let (server, ..) = cluster().await;
    let status = async |user: User, path: &str| {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let client = server.client_as(user, "n");
        match client.request_text(request).await {
            Ok(_) => (200, String::new()),
            Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
            Err(other) => panic!("{other}"),
        }
    };
    for path in ["/version", "/healthz", "/livez", "/readyz"] {
        assert_eq!(status(User::anonymous(), path).await.0, 200, "{path}");
    }
    assert_eq!(
        status(User::anonymous(), "/apis").await,
        (
            403,
            "forbidden: User \"system:anonymous\" cannot get path \"/apis\"".into()
        )
    );
    for path in ["/api", "/apis", "/apis/apps/v1", "/openapi/v3", "/version"] {
        assert_eq!(status(User::named("u", &[]), path).await.0, 200, "{path}");
    }
    assert_eq!(status(User::named("u", &[]), "/metrics").await.0, 403);
    // What does not exist is no secret, but only who may ask learns that.
    assert_eq!(status(User::anonymous(), "/api/v1/nothings").await.0, 403);
    assert_eq!(status(User::admin(), "/api/v1/nothings").await.0, 404);
}

/// The answer to a request for a token.
async fn token(admin: &Client, account: &str, spec: Value) -> Value {
    let accounts: Api<ServiceAccount> = Api::default_namespaced(admin.clone());
    let request = serde_json::from_value(json!({"spec": spec})).unwrap();
    let answer: TokenRequest = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await
        .unwrap();
    serde_json::to_value(answer).unwrap()
}

fn text(answer: &Value) -> String {
    answer["status"]["token"].as_str().unwrap().to_owned()
}

async fn reviewed(admin: &Client, token: &str, audiences: Value) -> Value {
    let review = json!({"spec": {"token": token, "audiences": audiences}});
    let answer = make::<TokenReview>(&Api::all(admin.clone()), review).await;
    serde_json::to_value(answer.status).unwrap()
}

#[tokio::test]
async fn a_token_ends_in_time_with_its_account_and_with_its_pod() {
    let (_, clock, admin) = cluster().await;
    let issuer = "https://kubernetes.default.svc";
    let first = token(&admin, "a", json!({"audiences": [], "expirationSeconds": 600})).await;
    let given = text(&first);
    assert_eq!(first["status"]["expirationTimestamp"], "2026-11-28T12:10:00Z");
    assert_eq!(first["spec"]["audiences"], json!([issuer]));
    let answer = reviewed(&admin, &given, json!([])).await;
    assert_eq!(answer["authenticated"], true);
    assert_eq!(answer["audiences"], json!([issuer]));
    assert_eq!(answer["user"]["username"], "system:serviceaccount:n:a");
    assert_eq!(
        answer["user"]["groups"],
        json!([
            "system:serviceaccounts",
            "system:serviceaccounts:n",
            "system:authenticated"
        ])
    );
    let elsewhere = reviewed(&admin, &given, json!(["elsewhere"])).await;
    assert_eq!(
        elsewhere["error"],
        format!(
            "[invalid bearer token, token audiences [\"{issuer}\"] is invalid for the target audiences [\"elsewhere\"]]"
        )
    );
    assert_eq!(elsewhere["authenticated"], Value::Null);
    let forged = format!("{}AAAA", &given[..given.len() - 4]);
    assert_eq!(
        reviewed(&admin, &forged, json!([])).await["error"],
        "[invalid bearer token, go-jose/go-jose: error in cryptographic primitive]"
    );
    assert_eq!(
        reviewed(&admin, "nonsense", json!([])).await["error"],
        "invalid bearer token"
    );
    clock.set("2026-11-28T12:10:00Z".parse().unwrap());
    let late = reviewed(&admin, &given, json!([])).await;
    assert_eq!(
        late["error"],
        "[invalid bearer token, service account token has expired]"
    );

    let pods: Api<Pod> = Api::default_namespaced(admin.clone());
    let pod = json!({"metadata": {"name": "p"}, "spec": {"serviceAccountName": "a", "containers": [{"name": "c", "image": "i"}]}});
    make(&pods, pod).await;
    let bound = json!({"audiences": ["x"], "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}});
    let bound = text(&token(&admin, "a", bound).await);
    let answer = reviewed(&admin, &bound, json!(["x", "y"])).await;
    assert_eq!(answer["audiences"], json!(["x"]));
    assert_eq!(
        answer["user"]["extra"]["authentication.kubernetes.io/pod-name"],
        json!(["p"])
    );
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    let answer = reviewed(&admin, &bound, json!(["x"])).await;
    assert_eq!(
        answer["error"],
        "[invalid bearer token, service account token has been invalidated]"
    );

    let last = text(&token(&admin, "a", json!({"audiences": []})).await);
    let accounts: Api<ServiceAccount> = Api::default_namespaced(admin.clone());
    accounts.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(reviewed(&admin, &last, json!([])).await["authenticated"], Value::Null);
    make::<ServiceAccount>(&accounts, json!({"metadata": {"name": "a"}})).await;
    // Another account of the same name is another account.
    assert_eq!(reviewed(&admin, &last, json!([])).await["authenticated"], Value::Null);
}

#[tokio::test]
async fn bad_token_requests_are_refused() {
    let (_, _, admin) = cluster().await;
    let accounts: Api<ServiceAccount> = Api::default_namespaced(admin.clone());
    let ask = async |account: &str, body: Value| {
        let request = serde_json::from_value(body).unwrap();
        let answer = accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await;
        refusal(answer)
    };
    let (code, _, message) = ask("a", json!({"spec": {"audiences": [], "expirationSeconds": 599}})).await;
    assert_eq!(code, 422);
    assert!(
        message.contains("spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"),
        "{message}"
    );
    assert_eq!(ask("b", json!({"spec": {"audiences": []}})).await.0, 404);
    assert_eq!(
        ask("a", json!({"metadata": {"name": "b"}, "spec": {"audiences": []}}))
            .await
            .0,
        422
    );
    assert_eq!(
        ask("a", json!({"metadata": {"uid": "b"}, "spec": {"audiences": []}}))
            .await
            .0,
        409
    );
    let to = |kind: &str| json!({"spec": {"audiences": [], "boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": "p"}}});
    assert_eq!(ask("a", to("Pod")).await.0, 404);
    assert_eq!(ask("a", to("ConfigMap")).await.0, 400);
}

#[tokio::test]
async fn a_request_with_a_token_is_the_tokens_and_with_a_bad_one_nobodys() {
    let (server, _, admin) = cluster().await;
    let token = text(&token(&admin, "a", json!({"audiences": []})).await);
    let who = async |header: &str, extra: &[(&str, &str)]| {
        let mut request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
            .header("authorization", header)
            .header("content-type", "application/json");
        for (name, value) in extra {
            request = request.header(*name, *value);
        }
        let answer = admin.request::<Value>(request.body(b"{}".to_vec()).unwrap()).await;
        answer.map(|review| review["status"]["userInfo"].clone())
    };
    let mine = who(&format!("Bearer {token}"), &[]).await.unwrap();
    assert_eq!(mine["username"], "system:serviceaccount:n:a");
    assert!(
        mine["extra"]["authentication.kubernetes.io/credential-id"][0]
            .as_str()
            .unwrap()
            .starts_with("JTI=")
    );
    let (code, reason, message) = refusal(who("Bearer nonsense", &[]).await);
    assert_eq!(
        (code, reason.as_str(), message.as_str()),
        (401, "Unauthorized", "Unauthorized")
    );
    assert_eq!(who("Basic YTpi", &[]).await.unwrap()["username"], "admin");

    // To act as another takes the verb impersonate on it.
    let acting = [("impersonate-user", "system:serviceaccount:n:b")];
    let admins = format!("Bearer {}", server.inner.registry.tokens.admin());
    let as_other = who(&admins, &acting).await.unwrap();
    assert_eq!(
        as_other["groups"],
        json!([
            "system:serviceaccounts",
            "system:serviceaccounts:n",
            "system:authenticated"
        ])
    );
    let (code, _, message) = refusal(who(&format!("Bearer {token}"), &acting).await);
    assert_eq!(
        (code, message.as_str()),
        (
            403,
            "serviceaccounts \"b\" is forbidden: User \"system:serviceaccount:n:a\" cannot impersonate resource \"serviceaccounts\" in API group \"\" in the namespace \"n\""
        )
    );
    assert_eq!(refusal(who(&admins, &[("impersonate-group", "g")]).await).0, 400);
    let grouped = [
        ("impersonate-user", "u"),
        ("impersonate-group", "g"),
        ("impersonate-group", "h"),
        ("impersonate-extra-a%2fb", "1"),
    ];
    let as_user = who(&admins, &grouped).await.unwrap();
    assert_eq!(
        as_user,
        json!({"username": "u", "groups": ["g", "h", "system:authenticated"], "extra": {"a/b": ["1"]}})
    );
}

#[tokio::test]
async fn nobody_gives_away_what_they_have_not() {
    let (server, _, admin) = cluster().await;
    let maps = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]});
    let secrets = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]});
    grant(
        &admin,
        "author",
        json!([
            {"verbs": ["*"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "resourceNames": []},
            maps,
        ]),
    )
    .await;
    let client = server.client_as(User::service_account("n", "a"), "n");
    let roles: Api<Role> = Api::default_namespaced(client.clone());
    let bindings: Api<RoleBinding> = Api::default_namespaced(client.clone());
    let role =
        |rule: &Value| serde_json::from_value::<Role>(json!({"metadata": {"name": "r"}, "rules": [rule]})).unwrap();
    // The verb * includes escalate and bind, so this author may.
    roles.create(&PostParams::default(), &role(&secrets)).await.unwrap();
    roles.delete("r", &DeleteParams::default()).await.unwrap();
    let narrow = json!([{
        "verbs": ["get", "create", "update", "patch", "delete"],
        "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"],
    }, maps]);
    let author: Api<Role> = Api::default_namespaced(admin.clone());
    author
        .patch(
            "author",
            &PatchParams::default(),
            &Patch::Merge(json!({"rules": narrow})),
        )
        .await
        .unwrap();
    let held = roles.create(&PostParams::default(), &role(&maps)).await.unwrap();
    assert_eq!(held.rules.unwrap().len(), 1);
    let missing = "user \"system:serviceaccount:n:a\" (groups=[\"system:serviceaccounts\" \"system:serviceaccounts:n\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}";
    let more = Patch::Merge(json!({"rules": [secrets]}));
    let (code, _, message) = refusal(roles.patch("r", &PatchParams::default(), &more).await);
    assert_eq!(
        (code, message),
        (
            403,
            format!("roles.rbac.authorization.k8s.io \"r\" is forbidden: {missing}")
        )
    );
    let binding = |kind: &str, name: &str| {
        serde_json::from_value::<RoleBinding>(json!({
            "metadata": {"name": "b"}, "subjects": [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        }))
        .unwrap()
    };
    bindings
        .create(&PostParams::default(), &binding("Role", "r"))
        .await
        .unwrap();
    bindings.delete("b", &DeleteParams::default()).await.unwrap();
    let (code, _, message) = refusal(
        bindings
            .create(&PostParams::default(), &binding("ClusterRole", "cluster-admin"))
            .await,
    );
    assert_eq!(code, 403);
    assert!(
        message.contains("{NonResourceURLs:[\"*\"], Verbs:[\"*\"]}"),
        "{message}"
    );
    let absent = bindings
        .create(&PostParams::default(), &binding("ClusterRole", "nothing"))
        .await;
    assert_eq!(refusal(absent).0, 404);
    // What only lets the garbage collector do its work is no grant.
    author
        .patch("r", &PatchParams::default(), &Patch::Merge(json!({"rules": [secrets]})))
        .await
        .unwrap();
    let marked = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/f"]}}));
    roles.patch("r", &PatchParams::default(), &marked).await.unwrap();
}

#[tokio::test]
async fn a_role_that_gathers_others_takes_everything_to_write() {
    let (server, _, admin) = cluster().await;
    grant_cluster(&admin).await;
    let client = server.client_as(User::named("u", &[]), "n");
    let role =
        json!({"metadata": {"name": "g"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
    let role = serde_json::from_value::<ClusterRole>(role).unwrap();
    let (code, _, message) = refusal(Api::all(client).create(&PostParams::default(), &role).await);
    assert_eq!(code, 403);
    assert!(
        message.ends_with("must have cluster-admin privileges to use the aggregationRule"),
        "{message}"
    );
}

/// `u` may write ClusterRoles.
async fn grant_cluster(admin: &Client) {
    let rule = json!({"verbs": ["create", "update"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"]});
    make::<ClusterRole>(
        &Api::all(admin.clone()),
        json!({"metadata": {"name": "w"}, "rules": [rule]}),
    )
    .await;
    make::<k8s_openapi::api::rbac::v1::ClusterRoleBinding>(
        &Api::all(admin.clone()),
        json!({
            "metadata": {"name": "w"}, "subjects": [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "w"},
        }),
    )
    .await;
}

async fn review(client: &Client, path: &str, spec: Value) -> Result<Value, kube::Error> {
    let body = json!({"spec": spec}).to_string().into_bytes();
    let request = http::Request::post(format!("/apis/authorization.k8s.io/v1/{path}"))
        .header("content-type", "application/json")
        .body(body)
        .unwrap();
    client
        .request::<Value>(request)
        .await
        .map(|answer| answer["status"].clone())
}

#[tokio::test]
async fn reviews_say_what_is_allowed_and_by_what() {
    let (server, _, admin) = cluster().await;
    grant(
        &admin,
        "reader",
        json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]),
    )
    .await;
    let account = "system:serviceaccount:n:a";
    let get_pod = json!({"namespace": "n", "verb": "get", "resource": "pods"});
    let by = "RBAC: allowed by RoleBinding \"reader/n\" of Role \"reader\" to ServiceAccount \"a/n\"";
    let allowed = json!({"allowed": true, "reason": by});
    let asked = json!({"user": account, "resourceAttributes": get_pod});
    assert_eq!(
        review(&admin, "subjectaccessreviews", asked.clone()).await.unwrap(),
        allowed
    );
    let local = "namespaces/n/localsubjectaccessreviews";
    assert_eq!(review(&admin, local, asked).await.unwrap(), allowed);
    let client = server.client_as(User::service_account("n", "a"), "n");
    let own = json!({"resourceAttributes": get_pod});
    assert_eq!(review(&client, "selfsubjectaccessreviews", own).await.unwrap(), allowed);
    let delete =
        json!({"user": account, "resourceAttributes": {"namespace": "n", "verb": "delete", "resource": "pods"}});
    assert_eq!(
        review(&admin, "subjectaccessreviews", delete).await.unwrap(),
        json!({"allowed": false})
    );
    let path = json!({"nonResourceAttributes": {"path": "/version", "verb": "get"}});
    let answer = review(&client, "selfsubjectaccessreviews", path).await.unwrap();
    assert_eq!(
        answer["reason"],
        "RBAC: allowed by ClusterRoleBinding \"system:discovery\" of ClusterRole \"system:discovery\" to Group \"system:authenticated\""
    );
    let rules = review(&client, "selfsubjectrulesreviews", json!({"namespace": "n"}))
        .await
        .unwrap();
    let pods = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
    assert!(rules["resourceRules"].as_array().unwrap().contains(&pods), "{rules}");
    assert_eq!(rules["incomplete"], false);
    for (path, spec, code) in [
        ("subjectaccessreviews", json!({"resourceAttributes": get_pod}), 422),
        ("subjectaccessreviews", json!({"user": "u"}), 422),
        ("selfsubjectaccessreviews", json!({}), 422),
        ("selfsubjectrulesreviews", json!({}), 400),
        (
            "namespaces/o/localsubjectaccessreviews",
            json!({"user": "u", "resourceAttributes": get_pod}),
            422,
        ),
    ] {
        assert_eq!(
            refusal(review(&admin, path, spec.clone()).await).0,
            code,
            "{path} {spec}"
        );
    }
    // Others are asked about only by who may.
    let others = json!({"user": "u", "resourceAttributes": get_pod});
    assert_eq!(refusal(review(&client, "subjectaccessreviews", others).await).0, 403);
}
