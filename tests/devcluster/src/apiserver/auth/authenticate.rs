//! Who a request comes from: its bearer token, and the user that it asks to act as.

use std::collections::BTreeMap;

use http::{HeaderMap, header};

use super::{
    super::{http::request, registry::Registry, status::Failure},
    ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User,
    attributes::Attributes,
    split_service_account,
    tokens::ISSUER,
};

const AS_USER: &str = "impersonate-user";
const AS_GROUP: &str = "impersonate-group";
const AS_UID: &str = "impersonate-uid";
const AS_EXTRA: &str = "impersonate-extra-";

impl Registry {
    /// The user of the request: that of its bearer token, or `otherwise` where it has none. A token that stands for nobody is refused.
    pub(in crate::apiserver) fn authenticate(&self, headers: &HeaderMap, otherwise: &User) -> Result<User, Failure> {
        let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let token = given.and_then(|given| {
            let (scheme, token) = given.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Ok(otherwise.clone());
        };
        match self
            .tokens
            .user(token, &[ISSUER.to_owned()], &self.store, self.clock.now())
        {
            Ok(Some((user, _))) => Ok(user),
            Ok(None) | Err(_) => Err(Failure::unauthorized()),
        }
    }

    /// The user that the request asks to act as, which `user` must be allowed to; else `user` itself.
    pub(in crate::apiserver) fn impersonate(&self, headers: &HeaderMap, user: User) -> Result<User, Failure> {
        let wish = Wish::read(headers);
        if wish.name.is_empty() {
            let nothing = wish.groups.is_empty() && wish.uid.is_empty() && wish.extra.is_empty();
            return if nothing {
                Ok(user)
            } else {
                Err(Failure::bad_request(
                    "requested groups, a uid or extra without impersonating a user",
                ))
            };
        }
        for attributes in wish.attributes() {
            let decision = self.authorize(&user, &attributes);
            if !decision.allowed {
                return Err(attributes.forbidden(&user, &decision.reason));
            }
        }
        Ok(wish.user())
    }
}

/// Whom a request wants to act as.
#[derive(Debug, Default)]
struct Wish {
    name: String,
    groups: Vec<String>,
    uid: String,
    extra: BTreeMap<String, Vec<String>>,
}

impl Wish {
    fn read(headers: &HeaderMap) -> Self {
        let all = |name: &str| -> Vec<String> {
            let values = headers.get_all(name).iter();
            values.filter_map(|v| v.to_str().ok()).map(str::to_owned).collect()
        };
        let first = |name: &str| all(name).into_iter().next().unwrap_or_default();
        let mut extra = BTreeMap::new();
        for name in headers.keys() {
            if let Some(key) = name.as_str().strip_prefix(AS_EXTRA) {
                let key = request::percent_decode(key).unwrap_or_else(|| key.to_owned());
                extra.insert(key, all(name.as_str()));
            }
        }
        Self {
            name: first(AS_USER),
            groups: all(AS_GROUP),
            uid: first(AS_UID),
            extra,
        }
    }

    /// What it takes to be allowed to: the verb `impersonate` on each part.
    fn attributes(&self) -> Vec<Attributes> {
        let part = |group: &str, resource: &str, name: &str| Attributes {
            verb: "impersonate".into(),
            group: group.into(),
            resource: resource.into(),
            name: name.into(),
            ..Attributes::default()
        };
        let who = match split_service_account(&self.name) {
            Some((namespace, name)) => Attributes {
                namespace: namespace.into(),
                ..part("", "serviceaccounts", name)
            },
            None => part("", "users", &self.name),
        };
        let mut out = vec![who];
        out.extend(self.groups.iter().map(|group| part("", "groups", group)));
        for (key, values) in &self.extra {
            out.extend(values.iter().map(|value| Attributes {
                subresource: key.clone(),
                ..part("authentication.k8s.io", "userextras", value)
            }));
        }
        if !self.uid.is_empty() {
            out.push(part("authentication.k8s.io", "uids", &self.uid));
        }
        out
    }

    fn user(self) -> User {
        let mut groups = self.groups;
        if groups.is_empty()
            && let Some((namespace, name)) = split_service_account(&self.name)
        {
            groups = User::service_account(namespace, name).groups;
        }
        let has = |group: &str| groups.iter().any(|g| g == group);
        let missing = match (self.name == ANONYMOUS, has(AUTHENTICATED), has(UNAUTHENTICATED)) {
            (false, false, false) => Some(AUTHENTICATED),
            (true, _, false) => Some(UNAUTHENTICATED),
            _ => None,
        };
        groups.extend(missing.map(str::to_owned));
        User {
            name: self.name,
            uid: self.uid,
            groups,
            extra: self.extra,
        }
    }
}
