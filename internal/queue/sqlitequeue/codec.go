package sqlitequeue

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

var errAttributes = errors.New("stored attributes are damaged")

// encodeAttributes writes attributes, whatever bytes they hold: each name and
// value with its length before it.
func encodeAttributes(a map[string]string) []byte {
	if len(a) == 0 {
		return nil
	}
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(a)) {
		for _, part := range [...]string{name, a[name]} {
			b = binary.AppendUvarint(b, uint64(len(part)))
			b = append(b, part...)
		}
	}
	return b
}

func decodeAttributes(b []byte) (map[string]string, error) {
	if len(b) == 0 {
		return nil, nil
	}
	a := map[string]string{}
	for len(b) > 0 {
		var parts [2]string
		for i := range parts {
			n, used := binary.Uvarint(b)
			if used <= 0 || n > uint64(len(b)-used) {
				return nil, errAttributes
			}
			end := used + int(n) // n is at most len(b)
			parts[i], b = string(b[used:end]), b[end:]
		}
		a[parts[0]] = parts[1]
	}
	return a, nil
}
