package config

import (
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write sluice.schema.json anew")

func TestSchemaFileIsCurrent(t *testing.T) {
	const file = "sluice.schema.json"
	if *update {
		require.NoError(t, os.WriteFile(file, JSONSchema(), 0o600))
	}
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(kept), string(JSONSchema()), "run: go test ./config -run TestSchemaFileIsCurrent -update")
}

// The patterns must let through what the reader does, and nothing else.
func TestSchemaAgreesWithTheReader(t *testing.T) {
	values := map[kind][]string{
		truth: {"true", "False", "yes", "", "1"},
		count: {"1", "12", "x", "1.5", "-"},
		span:  {"5s", "4d", "1w2d", "1d12h30m", "250ms", "0", "+3s", "60", "", "5h4d", "soon", "1.5h", "d"},
	}
	for k, texts := range values {
		n := &node{kind: k}
		pattern := jsonSchema(n)["pattern"].(string)
		re, err := regexp.Compile(pattern)
		require.NoError(t, err)
		for _, s := range texts {
			_, err := n.parse(s)
			require.Equal(t, err == nil, re.MatchString(s), "%s by %s: the reader says %v", s, pattern, err)
		}
		require.True(t, re.MatchString("${VARIABLE:-x}"))
	}
	require.Regexp(t, jsonSchema(&node{kind: queueURL})["pattern"], "awssqs:///orders")
	require.NotRegexp(t, jsonSchema(&node{kind: queueURL})["pattern"], "orders")
}

func TestSchemaKnowsEveryKey(t *testing.T) {
	var s struct {
		Properties struct {
			Queues struct {
				AdditionalProperties struct {
					Properties map[string]struct {
						Description string         `json:"description"`
						Properties  map[string]any `json:"properties"`
					} `json:"properties"`
					AdditionalProperties bool `json:"additionalProperties"`
				} `json:"additionalProperties"`
			} `json:"queues"`
		} `json:"properties"`
	}
	require.NoError(t, json.Unmarshal(JSONSchema(), &s))
	queue := s.Properties.Queues.AdditionalProperties
	require.False(t, queue.AdditionalProperties)
	require.Len(t, queue.Properties, len(queueKeys()))
	for key, p := range queue.Properties {
		require.NotEmpty(t, p.Description, key)
	}
	require.Contains(t, queue.Properties["dead_letter"].Properties, "max_attempts")
	require.Contains(t, queue.Properties["retry"].Properties, "min")
}
