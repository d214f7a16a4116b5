package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFilesAsPeopleWriteThem(t *testing.T) {
	const plain = "queues:\n  a:\n    url: mem:///a\n"
	for _, c := range []struct{ name, content, fault string }{
		{"a byte order mark", "\xef\xbb\xbf" + plain, ""},
		{"carriage returns", "\xef\xbb\xbfqueues:\r\n  a:\r\n    url: mem:///a\r\n", ""},
		{"a key for anchors", "x-defaults: &d\n  visibility_timeout: 30s\nqueues:\n  a:\n    <<: *d\n    url: mem:///a\n", ""},
		{"such a key within", "queues:\n  a:\n    x-note: [1, {b: c}]\n    url: mem:///a\n", ""},
		{"UTF-16", "\xff\xfeq\x00u\x00", "UTF-16"},
		{"Latin-1", "queues:\n  a:\n    url: mem:///\xe9\n", "UTF-8"},
		{"another unknown key", "xdefaults: 1\n" + plain, "unknown key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "sluice.yaml")
			require.NoError(t, os.WriteFile(file, []byte(c.content), 0o600))
			got, err := Load(&Options{Files: []string{file}})
			if c.fault != "" {
				require.ErrorContains(t, err, c.fault)
				return
			}
			require.NoError(t, err)
			require.Len(t, got.Queues(), 1)
			require.Equal(t, "mem:///a", got.Queues()[0].Source)
		})
	}
}

func TestVariablesInAnyCase(t *testing.T) {
	for _, c := range []struct {
		environ []string
		fault   string
	}{
		{[]string{"SLUICE_QUEUES_my_queue_URL=mem:///b"}, ""},
		{[]string{"sluice_queues_my_queue_url=mem:///b"}, ""},
		{[]string{"Sluice_Queues_My-Queue_Url=mem:///b"}, ""},
		{[]string{"SLUICE_QUEUES_MY_QUEUE_URL=mem:///b", "SLUICE_QUEUES_my_queue_URL=mem:///c"}, "only in case"},
	} {
		file := filepath.Join(t.TempDir(), "sluice.yaml")
		require.NoError(t, os.WriteFile(file, []byte("queues:\n  my-queue:\n    url: mem:///a\n"), 0o600))
		got, err := Load(&Options{Files: []string{file}, Environ: c.environ})
		if c.fault != "" {
			require.ErrorContains(t, err, c.fault)
			continue
		}
		require.NoError(t, err, c.environ)
		require.Len(t, got.Queues(), 1, c.environ)
		require.Equal(t, "mem:///b", got.Queues()[0].Source, c.environ)
	}
}
