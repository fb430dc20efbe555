{{/* A name of Kubernetes from a name of ours. */}}
{{- define "pashe.dns" -}}{{ . | replace "_" "-" | trunc 63 | trimSuffix "-" }}{{- end }}

{{- define "pashe.labels" -}}
app.kubernetes.io/name: pashe
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "pashe.image" -}}
{{ printf "%s-%s:%s" .root.Values.images.prefix .service (.root.Values.images.tag | default .root.Chart.AppVersion) }}
{{- end }}

{{/*
Every process of the chart as JSON: name, service, kind (channel, cases, rule, notifier, audit), the
variable that chooses what it runs, its consumer group, replicas.
*/}}
{{- define "pashe.units" -}}
{{- $units := list -}}
{{- $v := .Values -}}
{{- $units = append $units (dict "name" "intake-cases" "service" "intake" "kind" "cases" "variable" "INTAKE_CHANNELS" "only" "cases" "group" "intake.opener" "topic" "submissions" "erasures" "write") -}}
{{- range $v.intake.channels -}}
{{- $units = append $units (merge (dict "name" (printf "intake-%s" (include "pashe.dns" .name)) "service" "intake" "kind" "channel" "variable" "INTAKE_CHANNELS" "only" .name "erasures" "") .) -}}
{{- end -}}
{{- $units = append $units (dict "name" "referral-cases" "service" "referral" "kind" "cases" "variable" "REFERRAL_RULES" "only" "cases" "group" "referral.cases" "topic" "cases" "erasures" "read") -}}
{{- range $v.referral.rules -}}
{{- $units = append $units (merge (dict "name" (printf "referral-%s" (include "pashe.dns" .name)) "service" "referral" "kind" "rule" "variable" "REFERRAL_RULES" "only" .name "group" (printf "referral.rule.%s" .name) "topic" "cases" "erasures" "read") .) -}}
{{- end -}}
{{- range $v.notification.notifiers -}}
{{- $units = append $units (merge (dict "name" (printf "notification-%s" (include "pashe.dns" .name)) "service" "notification" "kind" "notifier" "variable" "NOTIFICATION_NOTIFIERS" "only" .name "group" (printf "notification.%s" .name) "topic" "referrals" "erasures" "read") .) -}}
{{- end -}}
{{- $units = append $units (dict "name" "audit" "service" "audit" "kind" "audit" "variable" "" "only" "" "erasures" "" "min" 1 "max" 1) -}}
{{- $made := list -}}
{{- range $units -}}
{{- $usual := get $v.replicas .kind | default dict -}}
{{- $made = append $made (merge (dict "min" (.min | default $usual.min) "max" (.max | default $usual.max)) .) -}}
{{- end -}}
{{- $made | toJson -}}
{{- end }}

{{/* Connections that all replicas may hold together, one more of a channel while it is replaced. */}}
{{- define "pashe.connections" -}}
{{- $sum := int .Values.connections.reserved -}}
{{- range include "pashe.units" . | fromJsonArray -}}
{{- $c := get $.Values.connections .kind -}}
{{- $surge := ternary 1 0 (eq .kind "channel") -}}
{{- $sum = add $sum (mul (add (int .max) $surge) (add (int $c.pool) (int $c.webPool) (int $c.beside))) -}}
{{- end -}}
{{- $sum -}}
{{- end }}

{{- define "pashe.databaseUrl" -}}
postgresql://{{ .role }}:$({{ .variable }})@{{ .root.Values.postgres.cluster }}-rw:5432/pashe?sslmode=verify-full&sslrootcert=/tls/postgres/ca.crt
{{- end }}

{{- define "pashe.secure" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "pashe.securePod" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}
