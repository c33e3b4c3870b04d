{{/* The environment of a pool's container. Takes {root, pool, values}. */}}
{{- define "quittance.env" -}}
{{- $root := .root -}}
{{- $pool := .pool -}}
- name: QUITTANCE_CONFIG
  value: /etc/quittance/quittance.toml
- name: QUITTANCE_INGRESS__LISTEN
  value: "0.0.0.0:4020"
- name: QUITTANCE_RESULTS__LISTEN
  value: "0.0.0.0:4021"
- name: QUITTANCE_METRICS__LISTEN
  value: "0.0.0.0:9464"
- name: QUITTANCE_SHUTDOWN__DRAIN_SECS
  value: {{ $root.Values.drainSeconds | quote }}
{{- if eq $pool.role "ingress" }}
{{- with $root.Values.ingress.publicUrl }}
- name: QUITTANCE_INGRESS__PUBLIC_URL
  value: {{ . | quote }}
{{- end }}
- name: QUITTANCE_INGRESS__TRUSTED_PROXIES
  value: {{ $root.Values.ingress.trustedProxies | quote }}
{{- end }}
{{ include "quittance.storeEnv" $root }}
{{- if $pool.chain }}
{{- range $root.Values.networks }}
{{- $id := toString (int64 .chainId) }}
{{- if or (not $pool.network) (eq $id $pool.network) }}
- name: QUITTANCE_NETWORKS__{{ $id }}__RPC_URLS
  valueFrom:
    secretKeyRef:
      name: {{ .rpcUrls.secretName }}
      key: {{ .rpcUrls.key }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq $pool.role "risk") $root.Values.secrets.riskEngineToken.name }}
- name: RISK_INTERNAL_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ $root.Values.secrets.riskEngineToken.name }}
      key: {{ $root.Values.secrets.riskEngineToken.key }}
{{- end }}
{{- if and $pool.network (include "quittance.signerKeys" .) }}
- name: QUITTANCE_SIGNER_KEYS_FILE
  value: /etc/quittance-signers/keys
{{- end }}
{{- with .values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The Secret of a pool's signing keys, as YAML; empty where it has none. Takes {root, pool}. */}}
{{- define "quittance.signerKeys" -}}
{{- range .root.Values.networks }}{{ if eq (toString (int64 .chainId)) (default "" $.pool.network) }}{{ with .signerKeys }}{{ toYaml . }}{{ end }}{{ end }}{{ end -}}
{{- end -}}

{{/* The pod template of a pool. Takes {root, pool, values}. */}}
{{- define "quittance.pod" -}}
{{- $root := .root -}}
{{- $pool := .pool -}}
{{- $signers := include "quittance.signerKeys" . | fromYaml -}}
metadata:
  labels:
    {{- include "quittance.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $pool.component }}
    {{- with $pool.network }}
    quittance/network: {{ . | quote }}
    {{- end }}
  annotations:
    # New settings are new pods.
    checksum/config: {{ include "quittance.settings" (dict "root" $root "pool" $pool) | sha256sum }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "quittance.serviceAccount" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # Above the drain and the pause before it, so that nothing is cut off; nothing is lost when it is.
  terminationGracePeriodSeconds: {{ add $root.Values.drainSeconds 15 }}
  securityContext:
    {{- include "quittance.podSecurity" $root | nindent 4 }}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "quittance.poolSelector" (dict "root" $root "pool" $pool) | nindent 10 }}
      matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  containers:
    - name: quittance
      image: {{ include "quittance.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: {{ toJson $pool.args }}
      env:
        {{- include "quittance.env" . | nindent 8 }}
      ports:
        {{- with $pool.port }}
        - { name: api, containerPort: {{ . }} }
        {{- end }}
        - { name: metrics, containerPort: 9464 }
      # Alive is who can answer at all: PostgreSQL being away restarts nobody.
      startupProbe:
        httpGet: { path: /healthz, port: metrics }
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: { path: /healthz, port: metrics }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /readyz, port: metrics }
        periodSeconds: 5
        timeoutSeconds: 4
        failureThreshold: 3
      {{- if $pool.port }}
      # Until every proxy knows that this pod takes nothing new.
      lifecycle:
        preStop:
          sleep: { seconds: 5 }
      {{- end }}
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      securityContext:
        {{- include "quittance.containerSecurity" $root | nindent 8 }}
      volumeMounts:
        - { name: settings, mountPath: /etc/quittance, readOnly: true }
        {{- if $signers }}
        - { name: signers, mountPath: /etc/quittance-signers, readOnly: true }
        {{- end }}
  volumes:
    - name: settings
      configMap:
        name: {{ include "quittance.name" $root }}
        items: [{ key: {{ $pool.settings }}, path: quittance.toml }]
    {{- if $signers }}
    - name: signers
      secret:
        secretName: {{ $signers.secretName }}
        defaultMode: 0440
        items: [{ key: {{ $signers.key }}, path: keys }]
    {{- end }}
{{- end -}}
