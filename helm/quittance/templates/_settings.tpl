{{/*
The settings' file of one pool: those of all, its own, and its networks. Nodes and keys come from Secrets; the URL that
stands here is never asked. Takes {root, pool}.
*/}}
{{- define "quittance.settings" -}}
{{- $pool := .pool -}}
{{- with .root.Values.config }}
{{- . | trim }}
{{ end }}
{{- if ne $pool.role "settlement" }}
{{- with (index .root.Values $pool.role).config }}
{{ . | trim }}
{{ end }}
{{- end }}
{{- range .root.Values.networks }}
{{- $id := toString (int64 .chainId) }}
{{- if or (not $pool.network) (eq $id $pool.network) }}
[[networks]]
chain_id = {{ $id }}
rpc_urls = ["https://set-by-a-secret.invalid"]
{{- with .config }}
{{ . | trim }}
{{- end }}
{{ end }}
{{- if and $pool.network (eq $id $pool.network) }}
{{- with .settlementConfig }}
{{ . | trim }}
{{ end }}
{{- end }}
{{- end }}
{{- end -}}
