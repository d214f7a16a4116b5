package pages

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
)

// The reference of sluice.yaml is made of its schema. Write it with -update.
func TestConfigurationReference(t *testing.T) {
	t.Parallel()
	const page = "../../../docs/reference/configuration.md"
	var schema property
	require.NoError(t, json.Unmarshal(config.JSONSchema(), &schema))
	var b strings.Builder
	b.WriteString("<!-- Generated from the schema: go test ./internal/test/pages -run ConfigurationReference -update -->\n\n# sluice.yaml\n\n")
	b.WriteString("Every key of the configuration. `sluice config --schema` prints the schema for an editor, `sluice config` the effective\n" +
		"values and their sources. [Services](../service.md) explains the section `consumer`, [Outbox](../outbox.md) `delay_store` and\n" +
		"`schedules`. A duration has a unit: `500ms`, `30s`, `5m`,\n" +
		"`12h`, `4d`, `2w`. In any value `${NAME}` and `${NAME:-default}` are replaced by the environment. The environment also\n" +
		"overrides keys: `SLUICE_QUEUES_ORDERS_CONSUMER_TIMEOUT=30s` is `queues.orders.consumer.timeout`.\n")
	section(&b, "The top level", &property{Description: "Beside the sections below.", Properties: map[string]*property{
		"delay_store": schema.Properties["delay_store"], "jobs": schema.Properties["jobs"],
	}})
	section(&b, "queues.NAME", schema.Properties["queues"].Additional)
	section(&b, "schedules.NAME", schema.Properties["schedules"].Additional)
	section(&b, "service", schema.Properties["service"])
	want := b.String()
	require.Contains(t, want, "| `max_attempts` | `5` |")
	for key := range schema.Properties { // none is left out
		require.True(t, strings.Contains(want, "\n## "+key) || strings.Contains(want, "| `"+key+"` |"), key)
	}
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o644)) //nolint:gosec // a page that all may read
	}
	got, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "write it: go test ./internal/test/pages -run ConfigurationReference -update")
}

// A property is what the reference needs of a schema.
type property struct {
	Description string
	Default     any
	Properties  map[string]*property
	Additional  *property `json:"-"`
}

// UnmarshalJSON reads additionalProperties if it is a schema: it may be false.
func (p *property) UnmarshalJSON(data []byte) error {
	type plain property
	var more struct {
		Additional json.RawMessage `json:"additionalProperties"`
	}
	if err := json.Unmarshal(data, (*plain)(p)); err != nil {
		return err
	}
	if err := json.Unmarshal(data, &more); err != nil {
		return err
	}
	if strings.HasPrefix(string(more.Additional), "{") {
		p.Additional = new(property)
		return json.Unmarshal(more.Additional, p.Additional)
	}
	return nil
}

// section writes the keys of a section, and its sections after it.
func section(b *strings.Builder, path string, p *property) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n| key | default | meaning |\n|---|---|---|\n", path, p.Description)
	keys := slices.Sorted(maps.Keys(p.Properties))
	for _, key := range keys {
		q := p.Properties[key]
		value := ""
		switch {
		case q.Default != nil:
			value = fmt.Sprintf("`%v`", q.Default)
		case q.Properties != nil:
			value = "a section"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", key, value, strings.ReplaceAll(q.Description, "|", `\|`))
	}
	for _, key := range keys {
		if q := p.Properties[key]; q.Properties != nil {
			section(b, path+"."+key, q)
		}
	}
}
