#!/usr/bin/env bash
# k8s/deploy.sh [--only WORKLOAD] [--timeout SECONDS] OVERLAY IMAGE
#
# Brings an image (NAME@sha256:… or NAME:TAG) into the cluster of kubectl's context with the manifests of an overlay, and waits until every workload is ready. Where one does not become
# ready in time, everything goes back to the manifests of the last rollout that arrived, which are kept in the Secret "last-rollout" of the namespace. Exit code 0: arrived; 1: failed,
# and what was there before is there again (or, the first time, nothing was there); 2: wrong arguments; 3: failed, and the way back did not end in time either.
#
# --only deployment/workflows sets the image of one workload alone. KUBECTL and KUSTOMIZE name the programs.
set -euo pipefail

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }
say() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*" >&2; }

only='' timeout=300
while [[ ${1-} == -* ]]; do
  case $1 in
    --only) only=${2:?--only needs a workload} && shift 2 ;;
    --timeout) timeout=${2:?--timeout needs seconds} && shift 2 ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
  esac
done
[[ $# -eq 2 && $timeout =~ ^[0-9]+$ && $2 == *[:@]* ]] || { usage >&2 && exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
overlay=$1 image=$2
[[ -f $here/overlays/$overlay/kustomization.yaml ]] || { say "there is no overlay k8s/overlays/$overlay" && exit 2; }

read -ra kubectl <<<"${KUBECTL:-kubectl}"
kustomize=${KUSTOMIZE:-kustomize}
namespace=headwater
workloads=(statefulset/gateway deployment/features deployment/serving deployment/workflows statefulset/pipeline statefulset/monitor)
files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT

k() { "${kubectl[@]}" --namespace "$namespace" "$@"; }

# The API server may be away for a while, as it is when it is upgraded: such failures are tried again until the time is over.
AWAY='connection refused|was refused|connection reset|connection lost|unable to handle the request|deadline exceeded|Client.Timeout|EOF|i/o timeout|TLS handshake|ServiceUnavailable|TooManyRequests|etcdserver|Unable to connect|no route to host|leader changed|not yet ready'
patiently() {
  local until=$((SECONDS + timeout))
  until "$@" 2>"$files/said"; do
    if ! grep -qE "$AWAY" "$files/said" || ((SECONDS >= until)); then
      cat "$files/said" >&2
      return 1
    fi
    sleep 2
  done
}

# A rollout is over when each workload says so; what is not ready when the time is over is named.
wait_for() {
  local until=$((SECONDS + timeout)) workload left
  for workload in "$@"; do
    while true; do
      left=$((until - SECONDS))
      if ((left <= 0)); then
        say "$workload is not ready after $timeout s:"
        k get pods --selector "app.kubernetes.io/component=${workload#*/}" --no-headers >&2 || true
        return 1
      fi
      if k rollout status "$workload" --timeout="${left}s" >/dev/null 2>"$files/said"; then break; fi
      grep -qE "$AWAY" "$files/said" && sleep 2
      grep -q 'exceeded its progress deadline' "$files/said" && { cat "$files/said" >&2 && return 1; }
    done
  done
}

# Kubernetes waits for a pod of a StatefulSet that never becomes ready even after its template was corrected (kubernetes/kubernetes#67250): such pods are deleted.
replace_stuck() {
  local workload revision pod
  for workload in "$@"; do
    [[ $workload == statefulset/* ]] || continue
    revision=$(k get "$workload" --output 'jsonpath={.status.updateRevision}')
    k get pods --selector "app.kubernetes.io/component=${workload#*/}" --output \
      'jsonpath={range .items[*]}{.metadata.name} {.metadata.labels.controller-revision-hash} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}' |
      while read -r pod of ready; do
        if [[ $of != "$revision" && $ready != True ]]; then k delete pod "$pod" --wait=false >/dev/null; fi
      done
  done
}

# Secrets that containers cannot start without. Kubernetes looks for them when a pod starts: the pods that a StatefulSet has replaced by then could not come back either.
required_secrets() {
  awk '
    /^ *-? *secret:$/ { volume = 1; unneeded = 0; next }
    volume && /optional: true/ { unneeded = 1 }
    volume && /secretName:/ { if (!unneeded) print $2; volume = 0 }
    function flush() { if (name != "" && !optional) print name; name = ""; optional = 0; inside = 0 }
    /secretKeyRef:|secretRef:/ { flush(); inside = 1; next }
    inside && /^ *key: / { next }
    inside && /^ *name: / { name = $2; next }
    inside && /^ *optional: true/ { optional = 1; next }
    inside { flush() }
    END { flush() }
  ' "$1" | sort -u
}
# An API server that is away does not mean that an object is missing.
is_there() {
  patiently k get "$1" "$2" --ignore-not-found --output name >"$files/found" || exit 1
  [[ -s $files/found ]]
}
has_object() { awk -v kind="$1" '/^---/ { of = 0 } $0 == "kind: " kind { of = 1 } of' "$3" | grep -q "^  name: $2\$"; }
check_secrets() {
  local name missing=0
  for name in $(required_secrets "$1"); do
    if is_there secret "$name"; then continue; fi
    # One that is part of the manifests, or that an operator makes of a part that is new, comes with the rollout.
    if has_object Secret "$name" "$1"; then continue; fi
    if has_object ExternalSecret "$name" "$1" && ! is_there externalsecret "$name"; then continue; fi
    say "Secret $name is missing in the namespace $namespace: create it, or look at its ExternalSecret, and deploy again"
    missing=1
  done
  return "$missing"
}

apply() { patiently "${kubectl[@]}" apply --server-side --force-conflicts --field-manager=headwater-deploy -f "$1" >/dev/null; }

read_last() {
  patiently k get secret last-rollout --output 'jsonpath={.data.manifests}' >"$files/last.b64"
  base64 --decode <"$files/last.b64" | gunzip >"$files/last.yaml"
}
keep_as_last() {
  gzip --no-name <"$1" >"$files/manifests"
  k create secret generic last-rollout --from-file="$files/manifests" --dry-run=client --output yaml >"$files/secret.yaml"
  apply "$files/secret.yaml"
}
# Prints manifests with the image in the objects of these kinds and names.
with_image() {
  awk -v image="$image" -v objects="$2" '
    BEGIN { for (at = split(objects, names, " "); at > 0; at--) takes[names[at]] }
    function flush() {
      if ((kind "/" name) in takes) gsub(/ image: [^\n]*/, " image: " image, text)
      printf "%s", text
      text = kind = name = ""
    }
    /^---/ { flush() }
    /^kind: / { kind = tolower($2) }
    /^  name: / && name == "" { name = $2 }
    { text = text $0 "\n" }
    END { flush() }
  ' "$1"
}

if [[ -n $only ]]; then
  say "$only takes $image"
  objects=$only
  patiently k set image "$only" "headwater=$image"
  if wait_for "$only"; then
    if [[ $only == deployment/workflows ]]; then
      objects+=' cronjob/workflow-step'
      patiently k set image cronjob/workflow-step "headwater=$image"
    fi
    # A later rollout that fails goes back to this image.
    if is_there secret last-rollout; then
      read_last
      with_image "$files/last.yaml" "$objects" >"$files/new.yaml"
      keep_as_last "$files/new.yaml"
    fi
    exit 0
  fi
  say "$only goes back"
  patiently k rollout undo "$only"
  replace_stuck "$only"
  wait_for "$only" && exit 1
  exit 3
fi

mkdir -p "$files/tree"
cp -r "$here" "$here/../monitoring" "$files/tree/"
(cd "$files/tree/k8s/overlays/$overlay" && "$kustomize" edit set image "headwater=$image")
"$kustomize" build "$files/tree/k8s/overlays/$overlay" >"$files/new.yaml"

isFirst=yes
if is_there secret last-rollout; then
  isFirst=no
  read_last
  # Nothing is changed by manifests that the API server refuses.
  say 'the API server looks at the manifests'
  patiently "${kubectl[@]}" apply --server-side --force-conflicts --field-manager=headwater-deploy --dry-run=server -f "$files/new.yaml" >/dev/null || exit 1
  check_secrets "$files/new.yaml" || exit 1
fi

say "$overlay takes $image"
if apply "$files/new.yaml" && wait_for "${workloads[@]}"; then
  keep_as_last "$files/new.yaml"
  say 'arrived'
  exit 0
fi
if [[ $isFirst == yes ]]; then
  say 'the first rollout has failed: there is nothing to go back to'
  exit 1
fi
say 'back to the rollout before'
apply "$files/last.yaml"
replace_stuck "${workloads[@]}"
if wait_for "${workloads[@]}"; then
  say 'everything is as it was before'
  exit 1
fi
say 'the way back did not end: see kubectl --namespace headwater get events'
exit 3
