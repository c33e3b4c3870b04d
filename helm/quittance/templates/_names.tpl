{{/* The release's name, which every object's begins with. */}}
{{- define "quittance.name" -}}
{{- if contains "quittance" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-quittance" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What tells this release's pods from others. */}}
{{- define "quittance.selector" -}}
app.kubernetes.io/name: quittance
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "quittance.labels" -}}
{{ include "quittance.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: quittance
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "quittance.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "quittance.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "quittance.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/*
Every Deployment of the release, as YAML: its name, its component (the role), what is run, the values of its role, the
networks it knows, and what it may reach. Settlement has one for each network.
*/}}
{{- define "quittance.pools" -}}
{{- $root := . -}}
{{- $name := include "quittance.name" . -}}
pools:
  - { name: {{ $name }}-ingress, component: ingress, role: ingress, args: [ingress], settings: ingress.toml, chain: true, port: 4020 }
  - { name: {{ $name }}-results, component: results, role: results, args: [results], settings: results.toml, chain: false, port: 4021 }
  - { name: {{ $name }}-risk, component: risk, role: risk, args: [worker, risk], settings: risk.toml, chain: true }
  - { name: {{ $name }}-notifier, component: notifier, role: notifier, args: [worker, notifier], settings: notifier.toml, chain: false }
  - { name: {{ $name }}-reconciler, component: reconciler, role: reconciler, args: [worker, reconciler], settings: reconciler.toml, chain: true }
{{- range .Values.networks }}
{{- if not (or .signerKeys .settlementConfig) }}
{{- fail (printf "eip155:%d has no keys to settle with: set signerKeys of its network, or [[signers]] in its settlementConfig" (int64 .chainId)) }}
{{- end }}
  - { name: {{ $name }}-settlement-{{ int64 .chainId }}, component: settlement, role: settlement, args: [worker, settlement], settings: settlement-{{ int64 .chainId }}.toml, chain: true, network: {{ int64 .chainId | quote }} }
{{- end }}
{{- end -}}

{{/* The labels that select one pool's pods. Takes {root, pool}. */}}
{{- define "quittance.poolSelector" -}}
{{ include "quittance.selector" .root }}
app.kubernetes.io/component: {{ .pool.component }}
{{- with .pool.network }}
quittance/network: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The most and fewest pods of a pool. Takes {root, pool}. */}}
{{- define "quittance.replicas" -}}
{{- if .pool.network -}}
{{- range .root.Values.networks }}{{ if eq (toString (int64 .chainId)) $.pool.network }}
min: {{ .minReplicas | default 2 }}
max: {{ .maxReplicas | default 4 }}
{{- end }}{{ end -}}
{{- else -}}
{{- $role := index .root.Values .pool.role -}}
{{- $scaling := $role.autoscaling | default dict -}}
min: {{ $scaling.minReplicas | default $role.replicas }}
max: {{ $scaling.maxReplicas | default $role.replicas }}
{{- end -}}
{{- end -}}

{{/* Whether something else counts a pool's pods: KEDA its workers, an HPA the APIs. Empty when nothing does. */}}
{{- define "quittance.isScaled" -}}
{{- if has .pool.role (list "risk" "notifier" "settlement") -}}
{{- if .root.Values.keda.enabled }}yes{{ end -}}
{{- else if has .pool.role (list "ingress" "results") -}}
{{- if (index .root.Values .pool.role).autoscaling.enabled }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{- define "quittance.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "quittance.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* The ledger's and the queue's URLs. */}}
{{- define "quittance.storeEnv" -}}
{{- $secrets := .Values.secrets -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ required "secrets.database.name is needed: the Secret that holds DATABASE_URL" $secrets.database.name }}
      key: {{ $secrets.database.key }}
- name: REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ required "secrets.redis.name is needed: the Secret that holds REDIS_URL" $secrets.redis.name }}
      key: {{ $secrets.redis.key }}
{{- end -}}
