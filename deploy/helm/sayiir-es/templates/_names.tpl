{{- define "sayiir.name" -}}
{{- printf "%s" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- define "sayiir.selector" -}}
app.kubernetes.io/name: sayiir-es
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- define "sayiir.labels" -}}
{{ include "sayiir.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}
{{- define "sayiir.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- define "sayiir.account" -}}
{{ .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "sayiir.name" .) "default") }}
{{- end -}}
{{- define "sayiir.pod" -}}
serviceAccountName: {{ include "sayiir.account" . }}
automountServiceAccountToken: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end -}}
{{- define "sayiir.container" -}}
image: {{ include "sayiir.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {{- toYaml .Values.securityContext | nindent 2 }}
{{- with .Values.command }}
command: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- define "sayiir.env" -}}
- name: SAYIIR_BACKEND
  value: kafka://{{ .Values.kafka.bootstrapServers }}/{{ .Values.kafka.app }}
- name: SAYIIR_LOG_FORMAT
  value: json
- name: SAYIIR_LOG_LEVEL
  value: {{ .Values.logLevel }}
- name: SAYIIR_API_READ_TOKEN_FILE
  value: /etc/sayiir-es/tokens/read-token
{{- if .Values.kafka.configSecret }}
- name: SAYIIR_KAFKA_CONFIG
  value: /etc/sayiir-es/kafka/{{ .Values.kafka.configKey }}
{{- end }}
{{- end -}}
{{- define "sayiir.mounts" -}}
- name: tmp
  mountPath: /tmp
- name: tokens
  mountPath: /etc/sayiir-es/tokens
  readOnly: true
{{- if .Values.kafka.configSecret }}
- name: kafka
  mountPath: /etc/sayiir-es/kafka
  readOnly: true
{{- end }}
{{- end -}}
{{- define "sayiir.volumes" -}}
- name: tmp
  emptyDir: {}
{{- if .Values.kafka.configSecret }}
- name: kafka
  secret:
    secretName: {{ .Values.kafka.configSecret }}
    defaultMode: 0440
{{- end }}
{{- end -}}
{{- define "sayiir.probes" -}}
startupProbe:
  httpGet: { path: /health/live, port: http }
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /health/live, port: http }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: { path: /health/ready, port: http }
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}
