package handler

// maxSuspects bounds the messages that a batch handler remembers.
const maxSuspects = 10_000

// suspects are the messages of batches that failed as a whole: one of them may have made
// the handler panic, and it is not known which. Each is handled alone until the handler
// has returned its verdict. A message that does not come back is forgotten when others
// need its place.
type suspects map[string]struct{}

// suspectKey is the key of a message, which its redeliveries share. It is empty for a
// message without ID, which can't be recognized.
func suspectKey(m *Message) string {
	if m.ID == "" {
		return ""
	}
	return m.Origin().Queue + "\x00" + m.ID
}

// has reports whether the message must be handled alone.
func (s suspects) has(key string) bool {
	_, ok := s[key]
	return ok
}

// add remembers a message.
func (s *suspects) add(key string) {
	if key == "" {
		return
	}
	if *s == nil {
		*s = make(suspects)
	}
	if _, ok := (*s)[key]; !ok && len(*s) >= maxSuspects {
		for other := range *s {
			delete(*s, other)
			break
		}
	}
	(*s)[key] = struct{}{}
}

// remove forgets a message.
func (s suspects) remove(key string) { delete(s, key) }
