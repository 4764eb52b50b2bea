{{/* The name of every object. The suffixes of some must still fit into 63 characters. */}}
{{- define "cypher.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "cypher.selector" -}}
app.kubernetes.io/name: cypher
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cypher.labels" -}}
{{ include "cypher.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "cypher.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{/* Where the secret of each setting is, and the other settings. */}}
{{- define "cypher.settings" -}}
{{- range .Values.secret.settings }}
- name: {{ . }}_FILE
  value: /run/secrets/cypher/{{ . }}
{{- end }}
{{- if not .Values.settings.ISSUER }}
{{- fail "settings.ISSUER must be the public origin, such as https://id.example.com" }}
{{- end }}
{{- range $name, $value := .Values.settings }}
{{- if ne (toString $value) "" }}
- name: {{ $name }}
  value: {{ toString $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Not `runAsUser` alone: with a name in the image the kubelet could not check that it is not root. */}}
{{- define "cypher.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "cypher.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where a pod may run. */}}
{{- define "cypher.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
