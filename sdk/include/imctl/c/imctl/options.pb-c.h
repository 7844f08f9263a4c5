/* Stands in for the message code of imctl/options.proto, which modules do not need: the host reads
 * the options from the manifest. */
