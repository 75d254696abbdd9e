//! Requests in, replies out.
//!
//! A [`Door`] is the tower service: it finds out who asks and whether they may, reads the body (bounded), hands the request to its route
//! and writes down what was asked. What requests mean is the registry's.

use std::{
    convert::Infallible,
    fmt::Display,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ::http::{HeaderMap, Method, Request, Response, header, request::Parts};
use bytes::Bytes;
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};

use self::{
    reply::{failure, json, text},
    request::{Form, Params, ResourcePath},
};
use super::{
    Failure, RequestRecord, Server, User,
    auth::attributes::Attributes,
    kinds::Resource,
    registry::{Call, Decoded, DeleteOptions, Input, Stop, Written, scale},
    schema::FieldError,
    watch::Watcher,
};

mod body;
mod discovery;
pub(super) mod identity;
mod openapi;
mod protobuf;
mod reply;
pub(super) mod request;
pub(super) mod serve;
mod table;
#[cfg(test)]
mod tests;

/// The connection breaks without an answer, or in the middle of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection was lost")]
pub(super) struct Disconnected;

/// The body of a reply: whole, or the stream of a watch.
pub(super) type ReplyBody = UnsyncBoxBody<Bytes, Disconnected>;
type Reply = Response<ReplyBody>;

/// A request that may be made, with its whole body.
#[derive(Clone, Copy)]
struct Asked<'a> {
    parts: &'a Parts,
    bytes: &'a Bytes,
    user: &'a Arc<User>,
}

/// One way into the server.
#[derive(Clone)]
pub(super) struct Door {
    server: Server,
    /// Who asks where a request carries no token.
    user: Arc<User>,
}

impl Door {
    /// The way in for this user.
    pub(super) fn acting_as(server: Server, user: User) -> Self {
        Self {
            server,
            user: Arc::new(user),
        }
    }

    /// The way in for everybody: who carries no token is nobody.
    pub(super) fn guarded(server: Server) -> Self {
        Self::acting_as(server, User::anonymous())
    }

    /// Answers one request and records it.
    async fn answer<B>(self, request: Request<B>) -> Result<Reply, Disconnected>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Display,
    {
        let (parts, body) = request.into_parts();
        let mut record = RequestRecord {
            verb: parts.method.to_string().to_lowercase(),
            resource: parts.uri.path().to_owned(),
            user_agent: header_text(&parts.headers, header::USER_AGENT).to_owned(),
            ..RequestRecord::default()
        };
        let admitted = self.admit(&parts, &mut record);
        let result = match (admitted, body::read(body).await) {
            (_, Err(body::Unread::Broken)) => Err(Stop::Disconnect),
            (Err(refusal), _) => Err(Stop::Failure(refusal)),
            (Ok(_), Err(body::Unread::TooLarge)) => Err(Failure::too_large(body::MAX).into()),
            (Ok(user), Ok(bytes)) => {
                let asked = Asked {
                    parts: &parts,
                    bytes: &bytes,
                    user: &user,
                };
                self.route(asked, &mut record).await
            }
        };
        let reply = match result {
            Ok(reply) => Ok(reply),
            Err(Stop::Failure(why)) => Ok(failure(&why)),
            Err(Stop::Disconnect) => Err(Disconnected),
        };
        record.code = reply.as_ref().map_or(0, |r| r.status().as_u16());
        self.server.inner.audit.record(record);
        reply
    }

    /// Who asks, if they may.
    fn admit(&self, parts: &Parts, record: &mut RequestRecord) -> Result<Arc<User>, Failure> {
        let registry = &self.server.inner.registry;
        let user = registry.authenticate(&parts.headers, &self.user)?;
        record.user.clone_from(&user.name);
        let user = registry.impersonate(&parts.headers, user)?;
        record.user.clone_from(&user.name);
        let wanted = Attributes::of(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or_default());
        let decision = registry.authorize(&user, &wanted);
        if decision.allowed {
            return Ok(Arc::new(user));
        }
        let refusal = wanted.forbidden(&user, &decision.reason);
        if wanted.path.is_none() {
            record.watch = wanted.verb == "watch";
            record.verb = wanted.verb;
            record.group = wanted.group;
            record.resource = wanted.resource;
            record.subresource = wanted.subresource;
            record.namespace = wanted.namespace;
            record.name = wanted.name;
        }
        Err(refusal)
    }

    async fn route(&self, asked: Asked<'_>, record: &mut RequestRecord) -> Result<Reply, Stop> {
        let parts = asked.parts;
        let path = parts.uri.path();
        let inner = &self.server.inner;
        let catalog = inner.registry.catalog();
        if let Some(target) = ResourcePath::parse(path) {
            let params = Params::parse(parts.uri.query().unwrap_or_default())?;
            if let Some(resource) = catalog.get(&target.group, &target.version, &target.plural) {
                return self.resource(asked, &target, resource, &params, record).await;
            }
            return if catalog.is_builtin(&target.group, &target.version) {
                Err(Failure::unknown_resource().into())
            } else {
                Ok(reply::not_found())
            };
        }
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return Err(Failure::method_not_allowed().into());
        }
        let steps: Vec<&str> = path.trim_matches('/').split('/').collect();
        let form = request::discovery(&parts.headers);
        Ok(match steps.as_slice() {
            ["healthz" | "readyz" | "livez", ..] => text(200, "ok"),
            ["version"] => json(200, &discovery::version(inner.minor)),
            ["api"] => discovery::core_versions(&catalog, form),
            ["apis"] => discovery::groups(&catalog, form),
            ["api", version] => discovery::resources(&catalog, "", version),
            ["apis", group] => discovery::group(&catalog, group),
            ["apis", group, version] => discovery::resources(&catalog, group, version),
            ["openapi", "v3"] => json(200, &openapi::index(&catalog)),
            ["openapi", "v3", "api", version] => openapi::document(&catalog, "", version, inner.minor),
            ["openapi", "v3", "apis", group, version] => openapi::document(&catalog, group, version, inner.minor),
            _ => reply::not_found(),
        })
    }

    /// A request for a resource that exists.
    async fn resource(
        &self,
        asked: Asked<'_>,
        target: &ResourcePath,
        resource: &Arc<Resource>,
        params: &Params,
        record: &mut RequestRecord,
    ) -> Result<Reply, Stop> {
        let Asked { parts, bytes, user } = asked;
        let watch = params.flag("watch") && target.name.is_empty();
        let verb = request::verb(&parts.method, target, watch);
        record.verb = verb.map_or_else(|| record.verb.clone(), str::to_owned);
        record.group.clone_from(&target.group);
        record.resource.clone_from(&target.plural);
        record.subresource.clone_from(&target.subresource);
        record.namespace.clone_from(&target.namespace);
        record.name.clone_from(&target.name);
        record.watch = watch;
        check_target(target, resource)?;
        let verb = verb.ok_or_else(Failure::method_not_allowed)?;
        let created_below = request::CREATED_BELOW.contains(&target.subresource.as_str());
        if !target.subresource.is_empty() && !created_below && !matches!(verb, "get" | "update" | "patch") {
            return Err(Failure::method_not_allowed().into());
        }
        if resource.namespaced && target.namespace.is_empty() && !matches!(verb, "list" | "watch") {
            return Err(Failure::method_not_allowed().into());
        }
        if target.subresource.is_empty() && !resource.verbs().contains(&verb) {
            return Err(Failure::method_not_allowed().into());
        }
        let call = Call {
            resource: Arc::clone(resource),
            user: Arc::clone(user),
            verb,
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            subresource: target.subresource.clone(),
            manager: manager(params, &parts.headers),
            strictness: params.strictness(verb)?,
            force: params.flag("force"),
            dry_run: params.dry_run(verb)?,
        };
        record.manager.clone_from(&call.manager);
        let form = request::form(&parts.headers, params)?;
        let media = media_type(&parts.headers);
        let registry = &self.server.inner.registry;
        match verb {
            "get" => {
                params.version()?;
                let object = registry.get(&call).await?;
                Ok(reply::object(
                    200,
                    resource,
                    object,
                    form,
                    &self.server.inner.clock,
                    &[],
                ))
            }
            "list" => {
                let page = registry.list(&call, &params.list(resource)?).await?;
                Ok(reply::list(resource, page, form, &self.server.inner.clock))
            }
            "watch" => {
                let watcher = Watcher::start(Arc::clone(registry), &call, params.watch(resource)?).await?;
                Ok(reply::stream(
                    watcher,
                    Arc::clone(resource),
                    form,
                    Arc::clone(&self.server.inner.clock),
                ))
            }
            "create" if created_below => self.create_below(&call, &media, bytes).await,
            "create" if resource.unstored => {
                let body = body::object(&media, bytes, &resource.kind)?;
                let (answer, warnings) = registry.review(&call, body)?;
                let clock = &self.server.inner.clock;
                Ok(reply::object(201, resource, answer, Form::Plain, clock, &warnings))
            }
            "create" => {
                let body = body::object(&media, bytes, &resource.kind)?;
                let written = registry.create(&call, body).await?;
                super::registry::meta::text(&written.value, "name").clone_into(&mut record.name);
                Ok(self.written(&call, written, form))
            }
            "update" => {
                let input = Input::Put(body::object(&media, bytes, &resource.kind)?);
                Ok(self.written(&call, registry.modify(&call, &input).await?, form))
            }
            "patch" => {
                let input = body::patch(resource, &media, bytes)?;
                if matches!(input, Input::Apply(_)) && params.text("fieldManager").is_empty() {
                    return Err(manager_required().into());
                }
                if !matches!(input, Input::Apply(_)) && !params.text("force").is_empty() {
                    let error = FieldError::forbidden("force", "may not be specified for non-apply patch");
                    return Err(Failure::invalid("meta.k8s.io", "PatchOptions", "", &[error]).into());
                }
                Ok(self.written(&call, registry.modify(&call, &input).await?, form))
            }
            _ => self.delete(&call, params, &media, bytes, form).await,
        }
    }

    /// POST of a subresource.
    async fn create_below(&self, call: &Call, media: &str, bytes: &Bytes) -> Result<Reply, Stop> {
        let registry = &self.server.inner.registry;
        if call.subresource == "binding" {
            let body = body::object(media, bytes, "Binding")?;
            return Ok(json(201, &registry.bind(call, &body).await?));
        }
        if call.subresource == "eviction" {
            let body = body::object(media, bytes, "Eviction")?;
            return Ok(json(201, &registry.evict(call, body).await?));
        }
        let body = body::object(media, bytes, "TokenRequest")?;
        let (answer, warnings) = registry.request_token(call, body)?;
        let clock = &self.server.inner.clock;
        Ok(reply::object(
            201,
            &call.resource,
            answer,
            Form::Plain,
            clock,
            &warnings,
        ))
    }

    async fn delete(
        &self,
        call: &Call,
        params: &Params,
        media: &str,
        bytes: &Bytes,
        form: Form,
    ) -> Result<Reply, Stop> {
        let registry = &self.server.inner.registry;
        let body = if bytes.is_empty() {
            Decoded {
                value: params.delete_options(),
                duplicates: Vec::new(),
            }
        } else {
            body::object(media, bytes, "DeleteOptions")?
        };
        let options = DeleteOptions::read(&body.value)?;
        let value = if call.verb == "delete" {
            registry.delete(call, &options).await?
        } else {
            registry
                .delete_collection(call, &params.list(&call.resource)?, &options)
                .await?
        };
        let form = if value["kind"] == call.resource.kind.as_str() {
            form
        } else {
            Form::Plain
        };
        Ok(reply::object(
            200,
            &call.resource,
            value,
            form,
            &self.server.inner.clock,
            &[],
        ))
    }

    fn written(&self, call: &Call, written: Written, form: Form) -> Reply {
        let code = if written.created { 201 } else { 200 };
        let (value, form) = if call.subresource == "scale" {
            (scale::view(&call.resource, &written.value), Form::Plain)
        } else {
            (written.value, form)
        };
        let clock = &self.server.inner.clock;
        reply::object(code, &call.resource, value, form, clock, &written.warnings)
    }
}

/// The path fits the scope of the resource and names a subresource that it has.
fn check_target(target: &ResourcePath, resource: &Resource) -> Result<(), Failure> {
    let scope_fits = if resource.namespaced {
        !target.namespace.is_empty() || target.name.is_empty()
    } else {
        target.namespace.is_empty()
    };
    let known = match target.subresource.as_str() {
        "" => true,
        "status" => resource.status,
        "finalize" => resource.is("namespaces"),
        "scale" => scale::exists(resource),
        "binding" | "eviction" => resource.is("pods"),
        "token" => resource.is("serviceaccounts"),
        _ => false,
    };
    if scope_fits && known {
        Ok(())
    } else if scope_fits && resource.custom.is_some() {
        Err(Failure::not_found(&resource.group, &resource.plural, &target.name))
    } else {
        Err(Failure::unknown_resource())
    }
}

fn manager_required() -> Failure {
    let error = super::status::field_error(
        "fieldManager",
        super::schema::Reason::Required,
        "Required value: is required for apply patch",
    );
    Failure::invalid("meta.k8s.io", "PatchOptions", "", &[error])
}

/// The field manager: the parameter, or the program that the user agent names.
fn manager(params: &Params, headers: &HeaderMap) -> String {
    match params.text("fieldManager") {
        "" => header_text(headers, header::USER_AGENT)
            .split('/')
            .next()
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_control())
            .take(128)
            .collect(),
        given => given.to_owned(),
    }
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// The media type of the body, without its parameters.
fn media_type(headers: &HeaderMap) -> String {
    header_text(headers, header::CONTENT_TYPE)
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_lowercase()
}

impl<B> tower::Service<Request<B>> for Door
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Display,
{
    type Response = Reply;
    type Error = Disconnected;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, Disconnected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Disconnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

/// A body that is there as a whole.
fn whole(bytes: impl Into<Bytes>) -> ReplyBody {
    http_body_util::Full::new(bytes.into())
        .map_err(|e: Infallible| match e {})
        .boxed_unsync()
}
