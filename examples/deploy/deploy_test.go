// Package deploy holds files to deploy Sluice by: a Helm chart, manifests, a systemd
// unit and a Homebrew formula. Its tests read them as the program would.
package deploy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/outbox/opentable"
)

// A manifest is what the tests read of an object of Kubernetes.
type manifest struct {
	Kind     string            `yaml:"kind"`
	Metadata metadata          `yaml:"metadata"`
	Data     map[string]string `yaml:"data"`
	Spec     struct {
		Template struct {
			Spec podSpec `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type metadata struct {
	Name string `yaml:"name"`
}

type podSpec struct {
	Grace      int         `yaml:"terminationGracePeriodSeconds"`
	Security   security    `yaml:"securityContext"`
	Containers []container `yaml:"containers"`
}

type security struct {
	NonRoot  bool  `yaml:"runAsNonRoot"`
	ReadOnly bool  `yaml:"readOnlyRootFilesystem"`
	Escalate *bool `yaml:"allowPrivilegeEscalation"`
}

type container struct {
	Env       []map[string]any `yaml:"env"`
	Security  security         `yaml:"securityContext"`
	Liveness  probe            `yaml:"livenessProbe"`
	Readiness probe            `yaml:"readinessProbe"`
}

type probe struct {
	Get struct {
		Path string `yaml:"path"`
		Port string `yaml:"port"`
	} `yaml:"httpGet"`
}

// manifests are all objects of the plain manifests and of the chart's golden files.
func manifests(t *testing.T) map[string][]manifest {
	t.Helper()
	found := map[string][]manifest{}
	for _, pattern := range []string{"kubernetes/*.yaml", "helm/golden/default.yaml", "helm/golden/full.yaml"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
				var m manifest
				err := d.Decode(&m)
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err, file)
				found[file] = append(found[file], m)
			}
		}
	}
	return found
}

// A ConfigMap with a key that no version of Sluice reads would keep every worker from starting.
func TestConfigurationsLoad(t *testing.T) {
	t.Parallel()
	for file, objects := range manifests(t) {
		loaded := 0
		for _, m := range objects {
			text, ok := m.Data["sluice.yaml"]
			if m.Kind != "ConfigMap" || !ok {
				continue
			}
			path := filepath.Join(t.TempDir(), config.DefaultFile)
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			conf, err := config.Load(&config.Options{
				Files: []string{path}, OpenTable: opentable.URL,
				Environ: []string{"QUEUE_URL=awssqs:///payments?region=us-east-1", "STORE_URL=postgres://db/shop", "DELAY_STORE=postgres://db/shop"},
			})
			require.NoError(t, err, file)
			require.NotEmpty(t, conf.Values(), file)
			loaded++
		}
		require.NotZero(t, loaded, "%s has no configuration", file)
	}
}

// Every worker is probed, confined, and given the time to drain.
func TestWorkersAreProbedAndConfined(t *testing.T) {
	t.Parallel()
	for file, objects := range manifests(t) {
		workers := 0
		for _, m := range objects {
			if m.Kind != "Deployment" {
				continue
			}
			pod := m.Spec.Template.Spec
			require.Greater(t, pod.Grace, 30, "%s: %s: the default drain takes 30 s", file, m.Metadata.Name)
			require.True(t, pod.Security.NonRoot, file)
			c := pod.Containers[0]
			require.True(t, c.Security.ReadOnly, file)
			require.NotNil(t, c.Security.Escalate, file)
			require.False(t, *c.Security.Escalate, file)
			require.Equal(t, []string{"/livez", "admin", "/readyz", "admin"}, []string{c.Liveness.Get.Path, c.Liveness.Get.Port, c.Readiness.Get.Path, c.Readiness.Get.Port}, file)
			require.Equal(t, "SLUICE_CONFIG", c.Env[0]["name"], file)
			workers++
		}
		require.Equal(t, 1, workers, file)
	}
}
