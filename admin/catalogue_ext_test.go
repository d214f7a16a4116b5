package admin_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func read(t *testing.T, elem ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{".."}, elem...)...))
	require.NoError(t, err)
	return string(data)
}

// docs/doctor.md has every finding of every driver, and each with a test that
// builds it.
func TestTheTableOfFindingsIsCurrent(t *testing.T) {
	type row struct{ severity, what string }
	table := map[string]row{}
	tests := map[string]map[string][]string{"sqs": {}, "pubsub": {}}
	for line := range strings.Lines(read(t, "docs", "doctor.md")) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 5 || !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ID ") {
			continue
		}
		id := strings.TrimPrefix(cells[0], "| ")
		require.NotContains(t, table, id)
		table[id] = row{cells[1], cells[2]}
		for provider, cell := range map[string]string{"sqs": cells[3], "pubsub": strings.TrimSuffix(cells[4], " |")} {
			if cell != "-" {
				tests[provider][id] = strings.Split(cell, "; ")
			}
		}
	}
	require.NotEmpty(t, table)

	built := 0
	for provider, file := range map[string]string{"sqs": "diagnose_ext_test.go", "pubsub": "diagnose_test.go"} {
		source := read(t, "drivers", provider, "diagnose.go")
		constants := regexp.MustCompile(`(?m)^\t(find\w+) += "([a-z-]+)"$`).FindAllStringSubmatch(source, -1)
		require.Len(t, tests[provider], len(constants), "the table has what drivers/%s finds", provider)
		written := read(t, "drivers", provider, file)
		for _, c := range constants {
			name, id := c[1], c[2]
			require.Contains(t, table, id)
			found := regexp.MustCompile(name + `, drivers\.(\w+),`).FindStringSubmatch(source)
			require.NotNil(t, found, "%s is found nowhere", id)
			require.Contains(t, table[id].severity, strings.ToLower(found[1]), "%s of %s", id, provider)
			require.NotEmpty(t, tests[provider][id], "%s of %s has no test", id, provider)
			for _, test := range tests[provider][id] {
				built++
				if strings.HasPrefix(test, "Test") {
					require.Contains(t, written, "func "+test+"(", id)
					continue
				}
				_, rest, ok := strings.Cut(written, `{"`+test+`", func(`)
				require.True(t, ok, "drivers/%s has no case %q", provider, test)
				end := regexp.MustCompile(`\}, \[\]string\{([^}]*)\}`).FindStringSubmatch(rest)
				require.NotNil(t, end)
				require.Contains(t, end[1], " "+id+`"`, "the case %q of drivers/%s wants it", test, provider)
			}
		}
	}
	require.GreaterOrEqual(t, built, 18, "faults that are built")
	t.Logf("%d kinds of findings, %d faults built", len(table), built)
}
