package docstore

import "strings"

// escape returns the key of the document for key. It is injective. Firestore takes
// no "/" in a document's name, since that would name a document in a collection
// within another, nor the names "", "." and ".." and those of the form __.*__.
// Other databases take more; one rule serves them all. A key of
// policy.MaxKey bytes has 765 at most, and Firestore takes 1500, MongoDB 1024
// and DynamoDB 2048.
func escape(key string) string {
	switch {
	case key == "":
		return "%"
	case key == ".", key == "..":
		return strings.ReplaceAll(key, ".", "%2E")
	}
	escaped := escaper.Replace(key)
	if strings.HasPrefix(escaped, "__") {
		return "%5F" + escaped[1:]
	}
	return escaped
}

var escaper = strings.NewReplacer("%", "%25", "/", "%2F")
