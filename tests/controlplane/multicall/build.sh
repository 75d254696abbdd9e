#!/usr/bin/env bash
# Builds the control plane once per set of pins and prints the folder of its programs.
# The key covers all that goes into the binary: pins, checksums, main and the compiler.
set -euo pipefail
cd "$(dirname "$0")"

# Exit 3 says that a tool is missing; anything else that a build failed.
missing() { echo "control plane: $*" >&2; exit 3; }
command -v go >/dev/null || missing "go is missing: install Go 1.26 or newer from https://go.dev/dl"

version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' go.mod)
key=$(cat go.mod go.sum main.go build.sh <(go version) | sha256sum | cut -c1-12)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/neo4j-operator"
folder="$cache/controlplane-$version-$key"

mkdir -p "$cache"
# Two suites that start together must not build twice.
exec 9>"$cache/controlplane.lock"
flock 9
if [[ ! -x "$folder/kube-scheduler" ]]; then
	echo "control plane: building Kubernetes $version and etcd into $folder (about 8 minutes, once)" >&2
	scratch=$(mktemp -d "$cache/building.XXXXXX")
	trap 'rm -rf "$scratch"' EXIT
	info=k8s.io/component-base/version
	minor=${version#v1.}
	# Without these values the version is a template and feature gates go by the wrong one.
	stamp="-X $info.gitVersion=$version -X $info.gitMajor=1 -X $info.gitMinor=${minor%%.*}"
	stamp+=" -X $info.gitTreeState=clean -X $info.gitCommit=$(printf '0%.0s' {1..40}) -X $info.buildDate=2026-01-01T00:00:00Z"
	GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS="-buildvcs=false -mod=readonly" \
		go build -trimpath -ldflags "-s -w $stamp" -o "$scratch/controlplane" . >&2
	for program in etcd kube-apiserver kube-controller-manager kube-scheduler; do
		ln -s controlplane "$scratch/$program"
	done
	rm -rf "$folder"
	mv "$scratch" "$folder"
fi
echo "$folder"
