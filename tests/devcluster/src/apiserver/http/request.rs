//! What a request is about: its path, its parameters, what it accepts.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderMap, Method, header};
use serde_json::{Value, json};

use super::super::{
    kinds::Resource,
    registry::{ListOptions, Strictness, read::Match},
    schema::FieldError,
    selector::{Fields, Labels},
    status::Failure,
    watch::WatchOptions,
};
use super::table::Include;

const MATCH: &str = "resourceVersionMatch";
const INITIAL: &str = "sendInitialEvents";

/// A path below `/api` or `/apis` that names a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ResourcePath {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) namespace: String,
    pub(super) plural: String,
    pub(super) name: String,
    pub(super) subresource: String,
}

impl ResourcePath {
    /// Reads a path; `None` where it names no resource.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut parts: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(percent_decode)
            .collect::<Option<_>>()?;
        if parts.iter().any(String::is_empty) {
            return None;
        }
        let mut out = Self::default();
        let head = match parts.first()?.as_str() {
            "api" => 1,
            "apis" => {
                out.group.clone_from(parts.get(1)?);
                2
            }
            _ => return None,
        };
        out.version.clone_from(parts.get(head)?);
        let mut rest = parts.split_off(head + 1);
        let in_namespace = rest.len() >= 3
            && rest[0] == "namespaces"
            && !(rest.len() == 3 && matches!(rest[2].as_str(), "status" | "finalize"));
        if in_namespace {
            out.namespace.clone_from(&rest[1]);
            rest.drain(..2);
        }
        let mut rest = rest.into_iter();
        out.plural = rest.next()?;
        out.name = rest.next().unwrap_or_default();
        out.subresource = rest.next().unwrap_or_default();
        // Deeper paths belong to proxies, which are not served.
        rest.next().is_none().then_some(out)
    }
}

/// Percent escapes resolved; `None` where that gives no text.
pub(in crate::apiserver) fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// The query parameters; the first of a name counts.
#[derive(Debug, Clone, Default)]
pub(in crate::apiserver) struct Params(BTreeMap<String, String>);

impl Params {
    pub(in crate::apiserver) fn parse(query: &str) -> Result<Self, Failure> {
        let mut out = BTreeMap::new();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| {
                percent_decode(&text.replace('+', " "))
                    .ok_or_else(|| Failure::bad_request(format!("invalid URL escape in {pair:?}")))
            };
            out.entry(decode(name)?).or_insert(decode(value)?);
        }
        Ok(Self(out))
    }

    pub(in crate::apiserver) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Given and neither `false` nor `0`.
    pub(in crate::apiserver) fn flag(&self, name: &str) -> bool {
        self.given_flag(name).unwrap_or(false)
    }

    fn given_flag(&self, name: &str) -> Option<bool> {
        self.0
            .get(name)
            .map(|value| !matches!(value.to_lowercase().as_str(), "false" | "0" | ""))
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        match self.text(name) {
            "" => Ok(None),
            text => {
                let number: i64 = text
                    .parse()
                    .map_err(|_| Failure::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))?;
                Ok(u64::try_from(number).ok())
            }
        }
    }

    /// `resourceVersion` of a get is a number, if given; whatever it is, the present object answers.
    pub(super) fn version(&self) -> Result<(), Failure> {
        let options = ListOptions {
            resource_version: self.text("resourceVersion").to_owned(),
            ..ListOptions::default()
        };
        options.version().map(drop)
    }

    /// `fieldValidation`.
    pub(super) fn strictness(&self, verb: &str) -> Result<Strictness, Failure> {
        match self.text("fieldValidation") {
            "" | "Warn" => Ok(Strictness::Warn),
            "Strict" => Ok(Strictness::Strict),
            "Ignore" => Ok(Strictness::Ignore),
            other => {
                let supported = ["", "Ignore", "Strict", "Warn"];
                let error = FieldError::not_supported("fieldValidation", &json!(other), &supported);
                Err(Failure::invalid("meta.k8s.io", options_of(verb), "", &[error]))
            }
        }
    }

    /// `dryRun`: only `All` is a value. A refusal names the options of the verb.
    pub(super) fn dry_run(&self, verb: &str) -> Result<bool, Failure> {
        let given = self.text("dryRun");
        match given {
            "" => Ok(false),
            "All" => Ok(true),
            _ => {
                let options = options_of(verb);
                let error = super::super::status::field_error(
                    "dryRun",
                    super::super::schema::Reason::NotSupported,
                    format!("Unsupported value: [{given:?}]: supported values: \"All\""),
                );
                Err(Failure::invalid("meta.k8s.io", options, "", &[error]))
            }
        }
    }

    /// `includeObject`: what goes with the rows of a table.
    fn include(&self) -> Result<Include, Failure> {
        match self.text("includeObject") {
            "" | "Metadata" => Ok(Include::Metadata),
            "None" => Ok(Include::None),
            "Object" => Ok(Include::Object),
            other => Err(Failure::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }

    /// The options of a delete that has no body.
    pub(super) fn delete_options(&self) -> Value {
        let mut options = json!({});
        if !self.text("propagationPolicy").is_empty() {
            options["propagationPolicy"] = json!(self.text("propagationPolicy"));
        }
        if let Some(orphan) = self.given_flag("orphanDependents") {
            options["orphanDependents"] = json!(orphan);
        }
        if let Ok(seconds) = self.text("gracePeriodSeconds").parse::<i64>() {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        options
    }

    pub(super) fn list(&self, resource: &Resource) -> Result<ListOptions, Failure> {
        let errors = if self.flag("watch") {
            self.watch_errors()
        } else {
            self.list_errors()
        };
        if !errors.is_empty() {
            return Err(Failure::invalid("meta.k8s.io", "ListOptions", "", &errors));
        }
        let version_match = match self.text("resourceVersionMatch") {
            "Exact" => Some(Match::Exact),
            "NotOlderThan" => Some(Match::NotOlderThan),
            _ => None,
        };
        let fields = self
            .text("fieldSelector")
            .replace("regarding.", "involvedObject.")
            .replace("reportingController", "reportingComponent");
        Ok(ListOptions {
            labels: Labels::parse(self.text("labelSelector"))?,
            fields: Fields::parse(
                if resource.is("events") {
                    &fields
                } else {
                    self.text("fieldSelector")
                },
                resource.fields,
                resource.custom.is_some(),
            )?,
            resource_version: self.text("resourceVersion").to_owned(),
            version_match,
            limit: self.number("limit")?.unwrap_or(0) as usize,
            resume: self.text("continue").to_owned(),
            timeout: self
                .number("timeoutSeconds")?
                .filter(|s| *s > 0)
                .map(Duration::from_secs),
        })
    }

    /// What is wrong with the parameters of a list, as a whole.
    fn list_errors(&self) -> Vec<FieldError> {
        let version_match = self.text("resourceVersionMatch");
        let mut errors = Vec::new();
        if !version_match.is_empty() {
            if self.text("resourceVersion").is_empty() {
                let what = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                errors.push(FieldError::forbidden(MATCH, what));
            }
            if !self.text("continue").is_empty() {
                let what = "resourceVersionMatch is forbidden when continue is provided";
                errors.push(FieldError::forbidden(MATCH, what));
            }
            if !matches!(version_match, "Exact" | "NotOlderThan") {
                let supported = ["Exact", "NotOlderThan", ""];
                errors.push(FieldError::not_supported(MATCH, &json!(version_match), &supported));
            }
            if version_match == "Exact" && self.text("resourceVersion") == "0" {
                let what = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(FieldError::forbidden(MATCH, what));
            }
        }
        if !self.text(INITIAL).is_empty() {
            errors.push(FieldError::forbidden(
                INITIAL,
                "sendInitialEvents is forbidden for list",
            ));
        }
        errors
    }

    /// What is wrong with the parameters of a watch, as a whole.
    fn watch_errors(&self) -> Vec<FieldError> {
        let (version_match, initial) = (self.text("resourceVersionMatch"), self.text(INITIAL));
        let mut errors = Vec::new();
        if !initial.is_empty() && version_match != "NotOlderThan" {
            let what = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(FieldError::forbidden(MATCH, what));
        }
        if !version_match.is_empty() {
            if initial.is_empty() {
                let what = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.push(FieldError::forbidden(MATCH, what));
            }
            if version_match != "NotOlderThan" {
                errors.push(FieldError::not_supported(
                    MATCH,
                    &json!(version_match),
                    &["NotOlderThan"],
                ));
            }
            if !self.text("continue").is_empty() {
                let what = "resourceVersionMatch is forbidden when continue is provided";
                errors.push(FieldError::forbidden(MATCH, what));
            }
        }
        errors
    }

    pub(super) fn watch(&self, resource: &Resource) -> Result<WatchOptions, Failure> {
        Ok(WatchOptions {
            list: self.list(resource)?,
            bookmarks: self.flag("allowWatchBookmarks"),
            initial: self.given_flag("sendInitialEvents"),
        })
    }
}

/// The options object of a verb, as refusals name it.
fn options_of(verb: &str) -> &'static str {
    match verb {
        "create" => "CreateOptions",
        "update" => "UpdateOptions",
        "patch" => "PatchOptions",
        _ => "DeleteOptions",
    }
}

/// How objects are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Plain,
    /// Their metadata only.
    Partial,
    /// Rows for people.
    Table(Include),
}

/// What kind of discovery document the client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Discovery {
    Plain,
    Aggregated,
}

fn accepted(headers: &HeaderMap) -> Vec<(String, BTreeMap<String, String>)> {
    let text = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .collect::<Vec<_>>()
        .join(",");
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(|item| {
            let mut parts = item.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_lowercase();
            let params = parts
                .filter_map(|p| p.split_once('='))
                .map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned()))
                .collect();
            (media, params)
        })
        .collect()
}

fn is_json(media: &str) -> bool {
    matches!(media, "application/json" | "application/*" | "*/*")
}

/// The first form that the client accepts and the server has.
pub(super) fn form(headers: &HeaderMap, params: &Params) -> Result<Form, Failure> {
    let accepted = accepted(headers);
    if accepted.is_empty() {
        return Ok(Form::Plain);
    }
    for (media, wanted) in &accepted {
        if !is_json(media) {
            continue;
        }
        let known = wanted.get("g").is_none_or(|g| g == "meta.k8s.io") && wanted.get("v").is_none_or(|v| v == "v1");
        match wanted.get("as").map(String::as_str) {
            None => return Ok(Form::Plain),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") if known => return Ok(Form::Partial),
            Some("Table") if known => return Ok(Form::Table(params.include()?)),
            Some(_) => {}
        }
    }
    Err(Failure::not_acceptable("application/json"))
}

pub(super) fn discovery(headers: &HeaderMap) -> Discovery {
    let wanted = accepted(headers).into_iter().any(|(media, params)| {
        let is = |name: &str, value: &str| params.get(name).is_some_and(|v| v == value);
        is_json(&media) && is("g", "apidiscovery.k8s.io") && is("v", "v2") && is("as", "APIGroupDiscoveryList")
    });
    if wanted {
        Discovery::Aggregated
    } else {
        Discovery::Plain
    }
}

/// Subresources that are only created.
pub(super) const CREATED_BELOW: [&str; 3] = ["binding", "eviction", "token"];

/// The verb of a request for a resource, as the API names it.
pub(super) fn verb(method: &Method, target: &ResourcePath, watch: bool) -> Option<&'static str> {
    if CREATED_BELOW.contains(&target.subresource.as_str()) {
        return (*method == Method::POST).then_some("create");
    }
    match (method, target.name.is_empty()) {
        (&Method::GET, true) if watch => Some("watch"),
        (&Method::GET, true) => Some("list"),
        (&Method::GET, false) => Some("get"),
        (&Method::POST, true) => Some("create"),
        (&Method::PUT, false) => Some("update"),
        (&Method::PATCH, false) => Some("patch"),
        (&Method::DELETE, false) => Some("delete"),
        (&Method::DELETE, true) => Some("deletecollection"),
        _ => None,
    }
}
