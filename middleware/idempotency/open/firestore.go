//go:build sluice_firestore || sluice_all

package open

import _ "gocloud.dev/docstore/gcpfirestore" // firestore://
