package queue

import (
	"cmp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTimelineIsInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := timeline{kind: byAge}
		var on []*entry
		sequence := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				sequence++
				e := &entry{sequence: sequence}
				line.insert(e, rapid.Int64Range(0, 20).Draw(t, "at"))
				on = append(on, e)
			},
			"remove": func(t *rapid.T) {
				if len(on) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(on)-1).Draw(t, "which")
				line.remove(on[i])
				require.False(t, line.has(on[i]))
				on = slices.Delete(on, i, i+1)
			},
			"": func(t *rapid.T) {
				if len(on) == 0 {
					require.Nil(t, line.first())
					return
				}
				want := slices.MinFunc(on, func(a, b *entry) int {
					return cmp.Or(cmp.Compare(line.at(a), line.at(b)), cmp.Compare(a.sequence, b.sequence))
				})
				require.Same(t, want, line.first())
			},
		})
	})
}
