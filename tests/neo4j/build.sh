#!/usr/bin/env bash
# Builds a Neo4j Community server once per set of pins and prints the folder with its program, neo4j-server.
# The key covers all that goes into it: the version, the launcher and the JDK that will run it.
set -euo pipefail
cd "$(dirname "$0")"

# Exit 3 says that a tool is missing; anything else that a build failed.
die() { echo "neo4j: $*" >&2; exit 1; }
missing() { echo "neo4j: $*" >&2; exit 3; }

# 5.26 runs on 17 and on 21. The first JDK of these: JAVA_HOME, the one on the path, those of the system.
jdk() {
	local home path
	path=$(command -v javac || true)
	for home in "${JAVA_HOME:-}" "${path:+$(dirname "$(dirname "$(readlink -f "$path")")")}" \
		/usr/lib/jvm/* /Library/Java/JavaVirtualMachines/*/Contents/Home; do
		[[ -n "$home" && -x "$home/bin/java" && -x "$home/bin/javac" ]] || continue
		case $("$home/bin/javac" -version 2>&1) in
		"javac 17"* | "javac 21"*) echo "$home" && return ;;
		esac
	done
	return 1
}

java=$(jdk) || missing "no JDK 17 or 21 (java and javac) is found: install one, or set JAVA_HOME"
command -v mvn >/dev/null || missing "mvn is missing: install Maven 3 from https://maven.apache.org"

version=$(sed -n 's:.*<neo4j.version>\(.*\)</neo4j.version>.*:\1:p' pom.xml)
key=$(cat pom.xml Server.java build.sh <(echo "$java"; "$java/bin/java" -version 2>&1) | sha256sum | cut -c1-12)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/neo4j-operator"
folder="$cache/neo4j-$version-$key"

mkdir -p "$cache"
# Two suites that start together must not build twice.
exec 9>"$cache/neo4j.lock"
flock 9
if [[ ! -x "$folder/neo4j-server" ]]; then
	echo "neo4j: bringing Neo4j $version into $folder (about a minute, once)" >&2
	scratch=$(mktemp -d "$cache/building.XXXXXX")
	trap 'rm -rf "$scratch"' EXIT
	JAVA_HOME=$java mvn -q -B -Dstyle.color=never -f pom.xml dependency:copy-dependencies \
		-DoutputDirectory="$scratch/lib" -DincludeScope=runtime >&2
	"$java/bin/javac" -Xlint:all -Werror -d "$scratch/classes" -cp "$scratch/lib/*" Server.java >&2
	"$java/bin/jar" --create --file "$scratch/lib/server.jar" -C "$scratch/classes" .
	rm -rf "$scratch/classes" "$folder"
	mv "$scratch" "$folder"
	# Named one by one: with a wildcard the order, and so the archive of classes, would depend on the file system.
	jars=$(printf '%s:' "$folder"/lib/*.jar)
	run=("$java/bin/java" -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData
		--add-opens=java.base/java.nio=ALL-UNNAMED
		--add-opens=java.base/java.io=ALL-UNNAMED
		--add-opens=java.base/sun.nio.ch=ALL-UNNAMED
		-cp "$jars")
	home=$(mktemp -d)
	trap 'rm -rf "$home"' EXIT
	"${run[@]}" -XX:ArchiveClassesAtExit="$folder/classes.jsa" -Xlog:cds=off -Xlog:cds+dynamic=off \
		Server --train "$home" 127.0.0.1:0 >"$folder/train.log" 2>&1 || die "the server does not start, see $folder/train.log"
	{
		echo '#!/bin/sh'
		echo '# Runs the server in place of this shell: HOME HOST:PORT [CERTIFICATES]'
		printf 'exec'
		printf " '%s'" "${run[@]}" -XX:SharedArchiveFile="$folder/classes.jsa" Server
		printf ' "$@"\n'
	} >"$folder/neo4j-server.new"
	chmod +x "$folder/neo4j-server.new"
	# Last, and at once: who finds it finds all of it.
	mv "$folder/neo4j-server.new" "$folder/neo4j-server"
fi
echo "$folder"
