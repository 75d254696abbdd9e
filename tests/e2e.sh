#!/usr/bin/env bash
# The suites against real components: a real control plane and a real Neo4j, each built once into a cache folder.
# A missing tool: the rest runs, the last line says SKIPPED and what is missing; with E2E_REQUIRE=1 that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

skipped=()
suites=()

# The server of CONTEXT, programs that somebody else built, or ours.
if [[ -n ${CONTEXT:-} ]]; then
	suites+=(controlplane)
	skipped+=("the black-box suite, whose pods run nothing real: CONTEXT names a server that others use")
elif [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
	suites+=(controlplane blackbox)
elif CONTROLPLANE=$(tests/controlplane/multicall/build.sh); then
	export CONTROLPLANE
	suites+=(controlplane blackbox)
else
	skipped+=("the suites against a real control plane")
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
