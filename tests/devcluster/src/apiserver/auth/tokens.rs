//! Tokens of service accounts: JSON web tokens, signed with a key that lives as long as the server (ES256).
//!
//! A token names its account by name and uid, perhaps a pod or Secret that it ends with, its audiences and its end. All of it is looked
//! up again at every use, so a token ends with its account, with what it is bound to, and in time.

use std::sync::OnceLock;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
    },
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    super::{
        registry::meta,
        store::{Key, Store},
    },
    SERVICE_ACCOUNT, User, quoted,
};

/// Who signs, and the audience of tokens that name none.
pub(in crate::apiserver) const ISSUER: &str = "https://kubernetes.default.svc";
/// What the real server's library says to a wrong signature.
const FORGED: &str = "go-jose/go-jose: error in cryptographic primitive";
/// Where a user's extra says which token was used.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// An object by name and uid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) uid: String,
}

/// What the token says about Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bound {
    pub(super) namespace: String,
    pub(super) serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<Reference>,
}

/// The claims. Times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) aud: Vec<String>,
    pub(super) exp: i64,
    pub(super) iat: i64,
    pub(super) iss: String,
    pub(super) jti: String,
    #[serde(rename = "kubernetes.io")]
    pub(super) bound: Bound,
    pub(super) nbf: i64,
    pub(super) sub: String,
}

impl Claims {
    /// The claims of a token for an account from `now` on, for so many seconds.
    pub(super) fn new(bound: Bound, id: String, now: Timestamp, seconds: i64, audiences: Vec<String>) -> Self {
        let now = now.as_second();
        Self {
            aud: audiences,
            exp: now.saturating_add(seconds),
            iat: now,
            iss: ISSUER.into(),
            jti: id,
            sub: format!("{SERVICE_ACCOUNT}{}:{}", bound.namespace, bound.serviceaccount.name),
            bound,
            nbf: now,
        }
    }

    /// The user that the token stands for now, or why it stands for nobody any more.
    fn user(&self, store: &Store, now: Timestamp) -> Result<User, String> {
        let now = now.as_second();
        if self.exp <= now {
            return Err("service account token has expired".into());
        }
        if self.nbf > now {
            return Err("service account token is not valid yet".into());
        }
        let bound = &self.bound;
        let (namespace, account) = (&bound.namespace, &bound.serviceaccount);
        match uid(store, "serviceaccounts", namespace, &account.name) {
            None => return Err(format!("serviceaccounts {:?} not found", account.name)),
            Some(uid) if uid != account.uid => {
                return Err(format!(
                    "service account UID ({uid}) does not match claim ({})",
                    account.uid
                ));
            }
            Some(_) => {}
        }
        for (resource, reference) in [("secrets", &bound.secret), ("pods", &bound.pod)] {
            if let Some(reference) = reference
                && uid(store, resource, namespace, &reference.name).as_ref() != Some(&reference.uid)
            {
                return Err("service account token has been invalidated".into());
            }
        }
        let mut user = User::service_account(namespace, &account.name);
        user.uid.clone_from(&account.uid);
        let mut extra = |key: &str, value: String| user.extra.insert(key.to_owned(), vec![value]);
        extra(CREDENTIAL, format!("JTI={}", self.jti));
        if let Some(pod) = &bound.pod {
            extra(POD_NAME, pod.name.clone());
            extra(POD_UID, pod.uid.clone());
        }
        Ok(user)
    }
}

fn uid(store: &Store, resource: &str, namespace: &str, name: &str) -> Option<String> {
    let key = Key {
        resource: resource.into(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    store
        .get(&key)
        .map(|object| meta::text(&object.value, "uid").to_owned())
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
}

struct Key256 {
    pair: EcdsaKeyPair,
    /// Says which key signed.
    id: String,
}

/// Signs tokens and reads them again; knows the administrator's.
pub(in crate::apiserver) struct Tokens {
    /// Empty: nobody is the administrator.
    admin: String,
    random: OnceLock<SystemRandom>,
    /// Made when the first token is asked for: most servers issue none.
    key: OnceLock<Option<Key256>>,
}

impl Tokens {
    /// With the administrator's token.
    pub(in crate::apiserver) fn new(admin: String) -> Self {
        Self {
            admin,
            random: OnceLock::new(),
            key: OnceLock::new(),
        }
    }

    /// The administrator's token.
    pub(in crate::apiserver) fn admin(&self) -> &str {
        &self.admin
    }

    fn random(&self) -> &SystemRandom {
        self.random.get_or_init(SystemRandom::new)
    }

    fn key(&self) -> Option<&Key256> {
        let make = || {
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, self.random()).ok()?;
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), self.random()).ok()?;
            let id = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(pair.public_key().as_ref()));
            Some(Key256 { pair, id })
        };
        self.key.get_or_init(make).as_ref()
    }

    /// A token with these claims; `None` where the machine has no chance to give.
    pub(super) fn sign(&self, claims: &Claims) -> Option<String> {
        let key = self.key()?;
        let header = Header {
            alg: "ES256",
            kid: &key.id,
        };
        let part = |json: Vec<u8>| BASE64_URL_SAFE_NO_PAD.encode(json);
        let signed = format!(
            "{}.{}",
            part(serde_json::to_vec(&header).ok()?),
            part(serde_json::to_vec(claims).ok()?)
        );
        let signature = key.pair.sign(self.random(), signed.as_bytes()).ok()?;
        Some(format!(
            "{signed}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref())
        ))
    }

    /// The claims of a token that says it is this server's, and whether it is.
    fn read(&self, token: &str) -> Option<(Claims, bool)> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (_, claims) = signed.split_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let claims: Claims = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key()?.pair.public_key().as_ref());
        let is_ours = public.verify(signed.as_bytes(), &signature).is_ok();
        (claims.iss == ISSUER).then_some((claims, is_ours))
    }

    /// The user of a token that is meant for one of `audiences`, with those of them that it is meant for. `None`: not one of ours;
    /// an error: one of ours that is worth nothing.
    pub(super) fn user(
        &self,
        token: &str,
        audiences: &[String],
        store: &Store,
        now: Timestamp,
    ) -> Result<Option<(User, Vec<String>)>, String> {
        if !self.admin.is_empty() && token == self.admin {
            // It is for this server only.
            let ours = audiences.iter().any(|audience| audience == ISSUER);
            return Ok(ours.then(|| (User::admin(), vec![ISSUER.to_owned()])));
        }
        let claims = match self.read(token) {
            None => return Ok(None),
            Some((_, false)) => return Err(FORGED.into()),
            Some((claims, true)) => claims,
        };
        let common: Vec<String> = audiences.iter().filter(|a| claims.aud.contains(a)).cloned().collect();
        if common.is_empty() {
            return Err(format!(
                "token audiences {} is invalid for the target audiences {}",
                quoted(&claims.aud),
                quoted(audiences)
            ));
        }
        Ok(Some((claims.user(store, now)?, common)))
    }
}
