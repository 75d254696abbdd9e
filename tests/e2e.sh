#!/usr/bin/env bash
# The suites against real components: a real control plane and a real Neo4j, each built once into a cache folder.
# A missing tool: the rest runs, the last line says SKIPPED and what is missing; with E2E_REQUIRE=1 that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

skipped=()
suites=()

# Both builds first: what is missing shows before anything has run for minutes.
if [[ -n ${CONTEXT:-} ]]; then
	suites+=(controlplane)
	skipped+=("what needs a control plane of its own: CONTEXT names a server that others use")
elif [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
	suites+=(controlplane blackbox controllers conformance)
elif CONTROLPLANE=$(tests/controlplane/multicall/build.sh); then
	export CONTROLPLANE
	suites+=(controlplane blackbox controllers conformance)
else
	skipped+=("the suites against a real control plane")
fi
if NEO4J_SERVER=$(tests/neo4j/build.sh); then
	export NEO4J_SERVER
	suites+=(bolt)
else
	skipped+=("the Bolt suite against a real Neo4j")
fi

for suite in "${suites[@]}"; do
	echo "e2e: $suite"
	# The whole workspace decides about features, so that nothing is built twice beside `make test`.
	TARGET=real "${CARGO:-cargo}" test --workspace --test "$suite"
done

if ((${#skipped[@]})); then
	(IFS=';'; echo "SKIPPED: ${skipped[*]} (the reason stands above)")
	[[ ${E2E_REQUIRE:-} != 1 ]]
fi
