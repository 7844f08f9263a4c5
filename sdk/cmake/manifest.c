/* Puts the serialized imctl.Manifest into the section where the host looks for it. Compiled with the
 * file's path as a string: -DIMCTL_MANIFEST_FILE='"manifest.pb"'. */
__asm__(
    ".pushsection .imctl.manifest,\"a\",@progbits\n"
    ".globl imctl_manifest_begin\n.hidden imctl_manifest_begin\n"
    ".globl imctl_manifest_end\n.hidden imctl_manifest_end\n"
    "imctl_manifest_begin:\n"
    ".incbin \"" IMCTL_MANIFEST_FILE "\"\n"
    "imctl_manifest_end:\n"
    ".popsection\n");
