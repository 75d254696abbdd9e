//! The life of one pod: bound, started, watched, started again, ended. One task per pod uid.
//!
//! The task keeps what it knows in [`Life`] and renders the status from it; it never reads its own status back, except once, to carry on
//! with a pod that an earlier kubelet had.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod};
use kube::{Resource, api::PostParams, core::Request};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Kubelet,
    needs::{self, Needs},
    status::{Ended, Life, Main, render},
};
use crate::controllers::{
    Error, clock, meta,
    runtime::{Exit, Process, StartError},
    view::{Deletion, Key, within},
};

/// How often a pod is looked at without any sign.
const INTERVAL: Duration = Duration::from_secs(1);
/// The wait before the second restart; the first comes at once.
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
const LAST_BACK_OFF: Duration = Duration::from_secs(300);
/// A process that ran this long is forgiven its former ends.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);
/// How long a process gets when the kubelet itself goes.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// One pod's task.
pub(super) struct Worker {
    kubelet: Arc<Kubelet>,
    key: Key,
    uid: String,
    wake: Arc<Notify>,
    life: Life,
    /// Failed starts in a row, and when the next may be tried.
    failed_starts: u32,
    try_at: Timestamp,
    /// Ends in a row, for the back-off.
    ends: u32,
}

impl Worker {
    pub(super) fn new(kubelet: Arc<Kubelet>, pod: &Pod, wake: Arc<Notify>) -> Self {
        let now = kubelet.context.clock.now();
        let mut life = Life::new(now);
        take_over(pod, &mut life, now);
        Self {
            key: Key::of(pod),
            uid: meta::uid(pod).to_owned(),
            wake,
            life,
            failed_starts: 0,
            try_at: now,
            ends: 0,
            kubelet,
        }
    }

    /// Runs the pod until it is gone or the kubelet stops.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut last = None;
        while let Some(pod) = self.pod() {
            let step = async {
                match self.step(&pod).await {
                    Ok(()) => {}
                    Err(error) if error.is_gone() || error.is_conflict() => {}
                    Err(error) => tracing::debug!(pod = %self.key, %error, "kubelet will try again"),
                }
                let _ = tokio::time::timeout(INTERVAL, self.wake.notified()).await;
            };
            let go_on = stop.run_until_cancelled(step).await.is_some();
            last = Some(pod);
            if !go_on {
                break;
            }
        }
        // The object is gone, or the node goes: its process must not outlive it.
        if let Some(pod) = last.filter(|_| self.life.is_running()) {
            let stopped = self.kubelet.runtime.stop(&pod, Duration::ZERO);
            let _ = tokio::time::timeout(SHUTDOWN_GRACE, stopped).await;
        }
    }

    fn now(&self) -> Timestamp {
        self.kubelet.context.clock.now()
    }

    fn pod(&self) -> Option<Arc<Pod>> {
        let pod = self.kubelet.context.views.pods.get(&self.key)?;
        (meta::uid(&*pod) == self.uid).then_some(pod)
    }

    async fn step(&mut self, pod: &Pod) -> Result<(), Error> {
        if meta::is_deleting(pod) {
            return self.end(pod).await;
        }
        if !is_bound(pod) {
            return self.schedule(pod).await;
        }
        match self.life.main.clone() {
            Main::Done(_) => {}
            Main::Running { since, started, .. } => self.look(pod, since, started),
            Main::BackOff { until, .. } if self.now() < until => {}
            Main::Unscheduled { .. } | Main::Waiting { .. } | Main::BackOff { .. } => {
                if self.now() >= self.try_at {
                    self.start(pod).await?;
                }
            }
        }
        self.report(pod).await
    }

    /// Writes the status, where it says something new.
    async fn report(&self, pod: &Pod) -> Result<(), Error> {
        let status = render(pod, &self.life, self.kubelet.node_address, self.now());
        if pod.status.as_ref() == Some(&status) {
            return Ok(());
        }
        self.kubelet.context.views.pods.merge_status(pod, &status).await
    }

    /// Gives the pod to the node, once the claims that it mounts are bound.
    async fn schedule(&mut self, pod: &Pod) -> Result<(), Error> {
        if let Some(message) = self.unbound_claim(pod) {
            let known = matches!(&self.life.main, Main::Unscheduled { message: known } if *known == message);
            if !known {
                self.kubelet
                    .context
                    .events
                    .warning(pod, "FailedScheduling", message.clone());
                self.life.main = Main::Unscheduled { message };
            }
            return self.report(pod).await;
        }
        self.life.main = Life::new(self.now()).main;
        let binding = Binding {
            metadata: kube::core::ObjectMeta {
                name: Some(self.key.name.clone()),
                namespace: Some(self.key.namespace.clone()),
                uid: Some(self.uid.clone()),
                ..Default::default()
            },
            target: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Node".to_owned()),
                name: Some(self.kubelet.node.clone()),
                ..ObjectReference::default()
            },
        };
        let url = Pod::url_path(&(), Some(&self.key.namespace));
        let body = serde_json::to_vec(&binding).map_err(kube::Error::SerdeError)?;
        let request = Request::new(url)
            .create_subresource("binding", &self.key.name, &PostParams::default(), body)
            .map_err(kube::Error::BuildRequest)?;
        within(self.kubelet.context.client.request::<serde_json::Value>(request)).await?;
        let message = format!("Successfully assigned {} to {}", self.key, self.kubelet.node);
        self.kubelet.context.events.normal(pod, "Scheduled", message);
        Ok(())
    }

    fn unbound_claim(&self, pod: &Pod) -> Option<String> {
        let claims = &self.kubelet.context.views.claims;
        needs::claims(pod).find_map(
            |name| match claims.get(&Key::new(self.key.namespace.clone(), name.clone())) {
                None => Some(format!("persistentvolumeclaim \"{name}\" not found")),
                Some(claim) if meta::is_deleting(&*claim) => {
                    Some(format!("persistentvolumeclaim \"{name}\" is being deleted"))
                }
                Some(claim) => {
                    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
                    (phase != Some("Bound")).then(|| "pod has unbound immediate PersistentVolumeClaims".to_owned())
                }
            },
        )
    }

    async fn start(&mut self, pod: &Pod) -> Result<(), Error> {
        match self.try_start(pod).await? {
            Ok(()) => {
                self.failed_starts = 0;
                let started = !has_startup_probe(pod);
                let since = self.now();
                self.life.main = Main::Running {
                    since,
                    started,
                    ready: false,
                };
                self.tell_started(pod);
                self.look(pod, since, started);
            }
            Err(lack) => self.hold(pod, lack),
        }
        Ok(())
    }

    async fn try_start(&mut self, pod: &Pod) -> Result<Result<(), StartError>, Error> {
        if let Some(lack) = Needs::of(pod).first_lack(&self.kubelet.context.client, pod).await? {
            return Ok(Err(lack));
        }
        if self.life.address.is_none() {
            match self.kubelet.runtime.address(pod) {
                Ok(address) => self.life.address = Some(address),
                Err(lack) => return Ok(Err(lack)),
            }
        }
        // The process finds its address in its pod.
        let mut with_address = Pod::clone(pod);
        let status = with_address.status.get_or_insert_default();
        status.pod_ip = self.life.address.map(|address| address.to_string());
        Ok(self.kubelet.runtime.start(&with_address, self.life.restarts).await)
    }

    /// The process cannot start yet: says why, and waits a little longer each time.
    fn hold(&mut self, pod: &Pod, lack: StartError) {
        let reason = match lack.reason.as_str() {
            "ErrImagePull" if self.failed_starts > 0 => "ImagePullBackOff".to_owned(),
            _ => lack.reason.clone(),
        };
        let event = match lack.reason.as_str() {
            "ContainerCreating" => "FailedMount",
            _ => "Failed",
        };
        if self.failed_starts == 0 {
            self.kubelet.context.events.warning(pod, event, lack.message.clone());
        }
        let delay = INTERVAL.saturating_mul(1 << self.failed_starts.min(3));
        self.failed_starts += 1;
        self.try_at = clock::later(self.now(), delay);
        self.life.main = Main::Waiting {
            reason,
            message: Some(lack.message).filter(|_| lack.reason != "ContainerCreating"),
        };
    }

    fn tell_started(&self, pod: &Pod) {
        let events = &self.kubelet.context.events;
        for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
            let image = container.image.as_deref().unwrap_or_default();
            events.normal(
                pod,
                "Pulled",
                format!("Container image \"{image}\" already present on machine"),
            );
            events.normal(pod, "Started", format!("Started container {}", container.name));
        }
    }

    /// Asks how the process does.
    fn look(&mut self, pod: &Pod, since: Timestamp, started: bool) {
        match self.kubelet.runtime.observe(pod) {
            Process::Running { ready } => {
                self.life.main = Main::Running {
                    since,
                    started: started || ready,
                    ready,
                };
            }
            Process::Exited(exit) => self.ended(pod, since, exit),
        }
    }

    /// The process has ended by itself: for good, or until its next start.
    fn ended(&mut self, pod: &Pod, began: Timestamp, exit: Exit) {
        let at = self.now();
        let end = Ended { exit, began, at };
        let again = match pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()) {
            Some("Never") => false,
            Some("OnFailure") => end.exit.code != 0,
            _ => true,
        };
        self.life.last = Some(end.clone());
        if !again {
            self.life.main = Main::Done(end);
            return;
        }
        if clock::until(began, at) >= FORGIVEN_AFTER {
            self.ends = 0;
        }
        let delay = back_off(self.ends);
        self.ends += 1;
        self.life.restarts += 1;
        self.life.main = Main::BackOff {
            until: clock::later(at, delay),
            delay_seconds: delay.as_secs(),
        };
        if !delay.is_zero() {
            let message = format!("Back-off restarting failed container in pod {}", self.key);
            self.kubelet.context.events.warning(pod, "BackOff", message);
        }
    }

    /// Ends a pod whose deletion was asked for: the process first, then the object.
    async fn end(&mut self, pod: &Pod) -> Result<(), Error> {
        if let Main::Running { since, .. } = self.life.main {
            for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
                let message = format!("Stopping container {}", container.name);
                self.kubelet.context.events.normal(pod, "Killing", message);
            }
            self.stop(pod).await;
            let exit = match self.kubelet.runtime.observe(pod) {
                Process::Exited(exit) => exit,
                Process::Running { .. } => Exit::failed(137, ""),
            };
            let end = Ended {
                exit,
                began: since,
                at: self.now(),
            };
            self.life.last = Some(end.clone());
            self.life.main = Main::Done(end);
        }
        if is_bound(pod) {
            // Its last status is for those who still look at it; that it is gone meanwhile is no failure.
            let latest = self.pod();
            match self.report(latest.as_deref().unwrap_or(pod)).await {
                Err(error) if !error.is_gone() && !error.is_conflict() => return Err(error),
                _ => {}
            }
        }
        if pod
            .metadata
            .finalizers
            .as_ref()
            .is_some_and(|finalizers| !finalizers.is_empty())
            && pod.metadata.deletion_grace_period_seconds == Some(0)
        {
            return Ok(());
        }
        self.kubelet.context.views.pods.delete(pod, Deletion::now()).await
    }

    /// Stops the process within the grace that the pod has, or at once when the object is removed by force meanwhile.
    async fn stop(&self, pod: &Pod) {
        let grace = u64::try_from(pod.metadata.deletion_grace_period_seconds.unwrap_or(30)).unwrap_or(0);
        let runtime = &self.kubelet.runtime;
        let mut stopping = runtime.stop(pod, Duration::from_secs(grace)).fuse();
        loop {
            tokio::select! {
                () = &mut stopping => return,
                () = self.wake.notified() => {
                    let forced = self.pod().is_none_or(|pod| pod.metadata.deletion_grace_period_seconds == Some(0));
                    if forced && grace > 0 {
                        drop(stopping);
                        return runtime.stop(pod, Duration::ZERO).await;
                    }
                }
            }
        }
    }
}

fn is_bound(pod: &Pod) -> bool {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    node.is_some_and(|node| !node.is_empty())
}

fn has_startup_probe(pod: &Pod) -> bool {
    let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.any(|container| container.startup_probe.is_some())
}

/// The wait before a start after so many ends in a row before this one.
fn back_off(ends: u32) -> Duration {
    match ends {
        0 => Duration::ZERO,
        _ => FIRST_BACK_OFF
            .saturating_mul(1 << (ends - 1).min(10))
            .min(LAST_BACK_OFF),
    }
}

/// Carries on with a pod that an earlier kubelet has started or seen to its end.
fn take_over(pod: &Pod, life: &mut Life, now: Timestamp) {
    let Some(status) = &pod.status else { return };
    let container = status.container_statuses.iter().flatten().next();
    life.restarts = container.map_or(0, |container| u32::try_from(container.restart_count).unwrap_or(0));
    life.address = status.pod_ip.as_ref().and_then(|address| address.parse().ok());
    let code = match status.phase.as_deref() {
        Some("Succeeded") => 0,
        Some("Failed") => 1,
        Some("Running") => {
            life.restarts += 1;
            return;
        }
        _ => return,
    };
    let ended = container
        .and_then(|container| container.state.as_ref()?.terminated.clone())
        .unwrap_or_default();
    life.main = Main::Done(Ended {
        exit: Exit {
            code: if code == 0 { 0 } else { ended.exit_code.max(code) },
            reason: ended.reason.unwrap_or_default(),
            message: ended.message,
        },
        began: ended.started_at.map_or(now, |time| time.0),
        at: ended.finished_at.map_or(now, |time| time.0),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_comes_at_once_and_later_ones_back_off_to_five_minutes() {
        let seconds: Vec<_> = (0..8).map(|ends| back_off(ends).as_secs()).collect();
        assert_eq!(seconds, [0, 10, 20, 40, 80, 160, 300, 300]);
    }
}
