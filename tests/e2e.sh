#!/usr/bin/env bash
# The suites against real components: a real control plane and a real Neo4j, each built once into a cache folder.
# A missing tool: the rest runs, the last line says SKIPPED and what is missing; with E2E_REQUIRE=1 that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

skipped=()
suites=()

# build VARIABLE SCRIPT: exports the folder that the script prints. 1 where a tool is missing (the script has said which);
# a build that fails ends everything.
build() {
	local status=0 folder
	folder=$("$2") || status=$?
	case $status in
	0) export "$1=$folder" ;;
	3) return 1 ;;
	*) echo "e2e: $2 failed" >&2; exit "$status" ;;
	esac
}

# Both builds first: what is missing shows before anything has run for minutes.
if [[ -n ${CONTEXT:-} ]]; then
	skipped+=("the suites against a real control plane, which write to all of it: CONTEXT names one that others use, unset it")
elif [[ -n ${KUBEBUILDER_ASSETS:-} ]] || build CONTROLPLANE tests/controlplane/multicall/build.sh; then
	suites+=(controlplane blackbox controllers conformance switching)
else
	skipped+=("the suites against a real control plane")
fi
if build NEO4J_SERVER tests/neo4j/build.sh; then
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
