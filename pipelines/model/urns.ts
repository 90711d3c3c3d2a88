// URNs of the Beam model (beam_runner_api.proto, StandardPTransforms and StandardWindowFns).
export const IMPULSE = 'beam:transform:impulse:v1';
export const PAR_DO = 'beam:transform:pardo:v1';
export const FLATTEN = 'beam:transform:flatten:v1';
export const GROUP_BY_KEY = 'beam:transform:group_by_key:v1';
export const COMBINE_PER_KEY = 'beam:transform:combine_per_key:v1';
export const RESHUFFLE = 'beam:transform:reshuffle:v1';
export const TEST_STREAM = 'beam:transform:teststream:v1';
export const SDF_PAIR = 'beam:transform:sdf_pair_with_restriction:v1';
export const SDF_SPLIT_AND_SIZE = 'beam:transform:sdf_split_and_size_restrictions:v1';
export const SDF_PROCESS = 'beam:transform:sdf_process_sized_element_and_restrictions:v1';
export const SDF_TRUNCATE = 'beam:transform:sdf_truncate_sized_restrictions:v1';
export const MERGE_WINDOWS = 'beam:transform:merge_windows:v1';
export const WINDOW_INTO = 'beam:transform:window_into:v1';
export const GLOBAL_WINDOWS = 'beam:window_fn:global_windows:v1';
export const FIXED_WINDOWS = 'beam:window_fn:fixed_windows:v1';
export const SLIDING_WINDOWS = 'beam:window_fn:sliding_windows:v1';
export const SESSION_WINDOWS = 'beam:window_fn:session_windows:v1';

export const BAG_USER_STATE = 'beam:user_state:bag:v1';
export const SIDE_INPUT_ITERABLE = 'beam:side_input:iterable:v1';

// Functions of this platform: the payload is the transform's unique name.
export const DOFN_BY_NAME = 'headwater:dofn:by_name:v1';
export const SPLITTABLE_BY_NAME = 'headwater:dofn:splittable_by_name:v1';
export const COMBINE_FN_BY_NAME = 'headwater:combinefn:by_name:v1';
export const WINDOW_FN_BY_NAME = 'headwater:window_fn:by_name:v1';
export const VIEW_BY_NAME = 'headwater:view_fn:by_name:v1';
export const WINDOW_MAPPING_BY_NAME = 'headwater:window_mapping_fn:by_name:v1';
export const TIMESTAMPS_BY_NAME = 'headwater:dofn:timestamps_by_name:v1';
